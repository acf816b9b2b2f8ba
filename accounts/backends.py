"""Who can be signed in. Django asks this at sign-in and again with every page."""

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend

from accounts.models import User


class PeopleBackend(AuthenticationBackend):
    """django-allauth's, for people alone: a service account comes with a token, to the API."""

    def user_can_authenticate(self, user: Any) -> bool:
        return not user.is_service_account and super().user_can_authenticate(user)

    def get_user(self, user_id: Any) -> User | None:
        """Django's, in words of its own: every page asks, and the ORM composes the query for longer than the answer
        takes."""
        found: User | None = next(iter(User.objects.raw("SELECT * FROM accounts_user WHERE id = %s", [user_id])), None)
        return found if found and self.user_can_authenticate(found) else None
