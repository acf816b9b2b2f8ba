"""The form behind the links in invitations and resets. Apart from `forms`, which django-allauth's own forms import."""

from typing import Any

from allauth.account.forms import ResetPasswordKeyForm
from allauth.account.models import EmailAddress


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
