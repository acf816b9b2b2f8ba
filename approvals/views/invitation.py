"""The page that the link of an invitation leads to: who invites as what, the first password, and straight in."""

from typing import Any

from allauth.account.internal.flows.password_reset import perform_password_reset_login
from allauth.account.views import PasswordResetFromKeyView
from django import forms
from django.http import HttpResponse
from django.urls import reverse

from accounts import roles, security_log
from accounts.passwords import FirstPasswordForm
from accounts.security_log import Event
from approvals.selectors import invitations


class Invitation(PasswordResetFromKeyView):  # type: ignore[misc]
    """allauth's page for a new password, with its checks of the link, for who never had one."""

    template_name = "approvals/people/invitation.html"

    def get_form_class(self) -> type[forms.Form]:
        return FirstPasswordForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)
        if self.reset_user is None:
            return context
        names = set(self.reset_user.groups.values_list("name", flat=True))
        return context | {
            "action_url": reverse("approvals:invitation", kwargs=self.kwargs),
            "person": self.reset_user,
            "invited_by": invitations.invited_by(self.reset_user),
            "as_what": roles.as_what(names),
            "duties": [(role, text) for role, text in roles.DESCRIPTIONS.items() if role in names],
        }

    def form_valid(self, form: FirstPasswordForm) -> HttpResponse:
        """Anyone who read the mail and chose the password need not type it again."""
        form.save()
        security_log.record(Event.PASSWORD_RESET, self.request, person=self.reset_user.pk)
        answer: HttpResponse = perform_password_reset_login(self.request, self.reset_user)
        return answer


invitation = Invitation.as_view()
