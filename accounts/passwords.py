"""The forms that set a password. Apart from `forms`, which django-allauth's own forms import."""

from typing import Any

from allauth.account.forms import ChangePasswordForm, ResetPasswordKeyForm
from allauth.account.models import EmailAddress
from allauth.core import context
from django.core.exceptions import ValidationError

from accounts import attempts, security_log
from accounts.security_log import Event


class OtherPasswordForm(ChangePasswordForm):
    """Asks for the present password, so it is one more place to try those out in a session that stands open."""

    def clean_oldpassword(self) -> str:
        request = context.request
        if not attempts.count_proof(request):
            raise ValidationError("There were too many wrong proofs.")
        try:
            typed = str(super().clean_oldpassword())
        except ValidationError:
            security_log.record(Event.REAUTH_FAILED, request, method="password")
            raise
        attempts.forget_proofs(request)
        return typed


class NewPasswordForm(ResetPasswordKeyForm):
    """The link came by mail, so anyone who follows it owns the address, if there is but one that it can have gone
    to."""

    def save(self) -> None:
        super().save()
        person: Any = self.user
        if not EmailAddress.objects.filter(user=person).exclude(email=person.email).exists():
            EmailAddress.objects.update_or_create(
                user=person, email=person.email, defaults={"primary": True, "verified": True}
            )


class FirstPasswordForm(NewPasswordForm):
    """The same for who never had one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].label, self.fields["password2"].label = "Password", "Password again"
