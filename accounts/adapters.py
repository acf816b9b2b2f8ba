"""django-allauth's hooks: who may sign up and how, where people land, and where the name of a new person comes from."""

from typing import Any

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.account.utils import filter_users_by_email
from allauth.core.exceptions import ImmediateHttpResponse, ReauthenticationRequired
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.providers.base import AuthProcess
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from accounts import (
    at_provider,
    attempts,
    claims,
    identity_providers,
    links,
    notices,
    reauthentication,
    second_factor,
    security_log,
)
from accounts.models import User, plain
from accounts.security_log import Event

logger = structlog.get_logger(__name__)


TOO_MANY = (
    "There were too many tries. Try again in {minutes} min, or come in another way: by a passkey, through the identity "
    "provider, from a browser in which you signed in before, or with a new password by “Forgot your password?”."
)


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 -- the hook's shape
        return bool(settings.SIGNUP_OPEN)

    def save_user(self, request: HttpRequest, user: Any, form: Any, commit: bool = True) -> Any:
        user.name = plain(form.cleaned_data.get("name", ""))
        return super().save_user(request, user, form, commit)

    def login(self, request: HttpRequest, user: Any) -> None:
        super().login(request, user)
        second_factor.note(request, user)

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        if not request.user.has_role:  # type: ignore[union-attr]
            return reverse("welcome")
        return str(super().get_login_redirect_url(request))

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse | None:
        """Refuses service accounts, whichever way they come. An address that the provider has verified need not be
        confirmed again by a mail of ours."""
        if user.is_service_account:
            security_log.record(Event.SIGNIN_FAILED, request, person=user.pk, method="", reason="service account")
            return render(request, "accounts/service_account.html", status=403)
        through = (kwargs.get("signal_kwargs") or {}).get("sociallogin")
        verified = {address.email.lower() for address in through.email_addresses if address.verified} if through else ()
        if through and user.email.lower() in verified:
            identity_providers.end_unproven(user, through.account)
            EmailAddress.objects.update_or_create(
                user=user, email=user.email.lower(), defaults={"verified": True, "primary": True}
            )
        refused: HttpResponse | None = super().pre_login(request, user, **kwargs)
        if through and refused is None:
            identity_providers.assert_roles(user, through.account)
        return refused

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        security_log.record(Event.SIGNIN_FAILED, request, person=user.pk, method="", reason="deactivated")
        answer: HttpResponse = super().respond_user_inactive(request, user)
        return answer

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Counts the try; allauth gives it back when the password was right. Proofs in a session have a limit of their
        own (`registry_ui.middleware`). Raises ValidationError beyond a limit."""
        if request.user.is_authenticated:
            self._login_failed_rl_usage = None
            return
        try:
            self._login_failed_rl_usage = attempts.begin(request, credentials.get("email", ""))
        except attempts.TooMany as error:
            security_log.record(Event.SIGNIN_LIMITED, request, person=error.person, method="password")
            raise ValidationError(TOO_MANY.format(minutes=error.minutes), code="too_many_login_attempts") from error

    def _delete_login_attempts_cached_email(self, request: HttpRequest, **credentials: Any) -> None:  # noqa: ARG002
        """After a password was set through the mail."""
        for person in User.objects.filter(email__iexact=credentials.get("email", "")):
            attempts.forget(person)

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """A wrong password. allauth comes here from the sign-in and from the pages that ask for proof."""
        if request.user.is_authenticated:
            security_log.record(Event.REAUTH_FAILED, request, method="password")
            return
        typed = User.objects.filter(email__iexact=credentials.get("email", "")).values_list("pk", flat=True)
        security_log.record(Event.SIGNIN_FAILED, request, person=typed.first(), method="password")

    def send_password_reset_mail(self, user: Any, email: str, context: dict[str, Any]) -> None:
        """A password is of no use to a service account."""
        if not user.is_service_account:
            security_log.record(Event.PASSWORD_RESET_ASKED, person=user.pk)
            super().send_password_reset_mail(user, email, context)

    def get_reset_password_from_key_url(self, key: str) -> str:
        return links.for_new_password(key)

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:  # noqa: ARG002
        return links.absolute("account_confirm_email", key=emailconfirmation.key)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """allauth makes this link out of the host that the request names."""
        if "key" not in context and "password_reset_url" in context:
            context = context | {"password_reset_url": links.absolute("account_reset_password")}
        super().send_mail(template_prefix, email, context)

    def send_notification_mail(
        self, template_prefix: str, user: Any, context: dict[str, Any] | None = None, email: str | None = None
    ) -> None:
        """What was changed is changed: a mail server that is away is no reason to tell the person otherwise."""
        if template_prefix not in notices.NOTICES:
            return
        browser = str(self.get_http_user_agent(self.request))[:200] or "unknown browser"
        told = {"address": security_log.address_of(self.request), "browser": browser}
        mail = notices.compose(template_prefix, email or user.email, context or {}, **told)
        try:
            mail.send()
        except OSError as error:  # smtplib's errors are such
            logger.warning("notice_not_sent", kind=template_prefix, person=user.pk, error=type(error).__name__)

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """allauth's ways to prove who one is, and the identity provider for those who have an account there."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        found = at_provider.linked(user)
        if found is not None:
            url = reverse("reauthenticate_at_provider")
            methods.append({"id": at_provider.METHOD, "description": f"Confirm with {found[1].name}", "url": url})
        return methods

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """allauth asks this before it looks whether there was a proof, and takes people who have neither password nor
        second factor for proven; this is the one place to say that they are not."""
        required = bool(super().is_reauthentication_required(app=app, **kwargs))
        if required and reauthentication.is_owed_to_provider(self.request):
            raise ReauthenticationRequired
        return required


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """People who come through an identity provider get an account, with the roles that it decides about, if any."""

    def get_provider(self, request: HttpRequest, provider: str, client_id: str | None = None) -> Any:
        """allauth has no setting for what reads the provider's answers."""
        found = super().get_provider(request, provider, client_id)
        found.oauth2_adapter_class = claims.Adapter
        return found

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:  # noqa: ARG002 -- the hook's shape
        is_open: bool | None = settings.OIDC_SIGNUP_OPEN
        return identity_providers.is_known(sociallogin.account) if is_open is None else is_open

    def authenticate_by_email(self, sociallogin: Any) -> tuple[User, str] | None:
        """Only the address that is beside the person's name counts, not one that they have yet to confirm."""
        for address in sociallogin.email_addresses:
            found = User.objects.who_sign_in().filter(email=address.email.lower())
            person = found.first() if address.verified else None
            if person is not None:
                return person, person.email
        return None

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Refuses who is new, comes with the address of an account and has no provider that vouches for it. Who came to
        prove who they are goes no further: they are signed in already, or have no business here."""
        if sociallogin.state.get("process") == at_provider.PROCESS:
            raise ImmediateHttpResponse(at_provider.finish(request, sociallogin))
        if sociallogin.is_existing or sociallogin.state.get("process") == AuthProcess.CONNECT:
            return
        for address in sociallogin.email_addresses:
            if filter_users_by_email(address.email):
                context = {"email": address.email, "provider": sociallogin.account.get_provider()}
                raise ImmediateHttpResponse(render(request, "socialaccount/email_taken.html", context, status=403))

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        logger.warning("sign_in_failed", provider=str(provider), error=str(error), reason=str(exception or ""))
        state = (extra_context or {}).get("state") or {}
        is_proof = state.get("process") == at_provider.PROCESS
        event = Event.REAUTH_FAILED if is_proof else Event.SIGNIN_FAILED
        security_log.record(event, request, method="provider", reason=str(error or "no answer"))
        if is_proof:
            raise ImmediateHttpResponse(at_provider.failed(request, provider, state, error, exception))
        if isinstance(exception, claims.Unusable) and extra_context is not None:
            extra_context["reason"] = str(exception)  # for the page; allauth passes it on
        super().on_authentication_error(
            request, provider, error=error, exception=exception, extra_context=extra_context
        )

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> Any:
        user = super().populate_user(request, sociallogin, data)
        full = " ".join(part for part in (data.get("first_name"), data.get("last_name")) if part)
        user.name = plain(data.get("name") or full)[: claims.NAME_LENGTH].strip() or user.email
        return user
