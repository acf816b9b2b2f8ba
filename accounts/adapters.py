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
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from accounts import at_provider, claims, reauthentication
from accounts.models import User, plain

logger = structlog.get_logger(__name__)


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 -- the hook's shape
        return bool(settings.SIGNUP_OPEN)

    def save_user(self, request: HttpRequest, user: Any, form: Any, commit: bool = True) -> Any:
        user.name = plain(form.cleaned_data.get("name", ""))
        return super().save_user(request, user, form, commit)

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        if not request.user.groups.exists():
            return reverse("welcome")
        return str(super().get_login_redirect_url(request))

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse | None:
        """An address that the provider has verified need not be confirmed again by a mail of ours."""
        through = (kwargs.get("signal_kwargs") or {}).get("sociallogin")
        verified = {address.email.lower() for address in through.email_addresses if address.verified} if through else ()
        if user.email.lower() in verified:
            EmailAddress.objects.update_or_create(
                user=user, email=user.email.lower(), defaults={"verified": True, "primary": True}
            )
        refused: HttpResponse | None = super().pre_login(request, user, **kwargs)
        return refused

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
    """People who come through the identity provider get an account without roles; an administrator gives those."""

    def get_provider(self, request: HttpRequest, provider: str, client_id: str | None = None) -> Any:
        """allauth has no setting for what reads the provider's answers."""
        found = super().get_provider(request, provider, client_id)
        found.oauth2_adapter_class = claims.Adapter
        return found

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:  # noqa: ARG002 -- the hook's shape
        return bool(settings.OIDC_SIGNUP_OPEN)

    def authenticate_by_email(self, sociallogin: Any) -> tuple[User, str] | None:
        """Only the address that is beside the person's name counts, not one that they have yet to confirm."""
        for address in sociallogin.email_addresses:
            found = User.objects.people().filter(email=address.email.lower())
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
        if state.get("process") == at_provider.PROCESS:
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
