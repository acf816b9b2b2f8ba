"""The form behind the links in invitations and password resets. Apart from `forms`, which django-allauth's own import."""

from typing import Any

from allauth.account.forms import ResetPasswordKeyForm
from allauth.account.models import EmailAddress


class NewPasswordForm(ResetPasswordKeyForm):
    """The link came by mail, so whoever follows it for the first time owns the address."""

    def save(self) -> None:
        super().save()
        person: Any = self.user
        if not EmailAddress.objects.filter(user=person).exists():
            EmailAddress.objects.create(user=person, email=person.email, primary=True, verified=True)
