"""The invitation of a new person: a mail with a link that sets the first password."""

from datetime import timedelta

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.template.loader import render_to_string

from accounts import links, roles
from accounts.models import User, plain

CONSOLE = "django.core.mail.backends.console.EmailBackend"


def link_for(person: User) -> str:
    """Good once, until it is used, the address changes or the time is over."""
    kwargs = {"uidb36": user_pk_to_url_str(person), "key": default_token_generator.make_token(person)}
    return links.absolute("approvals:invitation", **kwargs)


def is_printed() -> bool:
    """E-mail goes to the terminal of the web process, so no one receives it."""
    return bool(settings.EMAIL_BACKEND == CONSOLE)


def send(person: User, *, invited_by: User, connection: BaseEmailBackend | None = None) -> str:
    """Sends the mail, over `connection` where several are sent, and returns the link in it. Raises OSError (smtplib's
    errors are such) when it cannot be sent."""
    link = link_for(person)
    days = timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT).days
    as_what = roles.as_what(person.groups.values_list("name", flat=True))
    context = {
        "person": person,
        "invited_by": invited_by,
        "as_what": as_what,
        "link": link,
        "lasts": f"{days} day{'' if days == 1 else 's'}",
        "site_name": settings.SITE_NAME,
    }
    mail = EmailMessage(
        subject=f"{settings.EMAIL_SUBJECT_PREFIX}{plain(f'{invited_by.name} invited you {as_what}')}",
        body=render_to_string("accounts/invitation.txt", context),
        to=[person.email],
        connection=connection,
    )
    mail.send()
    return link
