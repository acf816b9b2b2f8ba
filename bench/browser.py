"""A browser that is signed in."""

from typing import Any

from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import User


def signed_in_client() -> Client:
    """Of somebody with every role, so that no part of a page is left out."""
    person: Any = User.objects.filter(email="bench@example.com").first() or User.objects.create_user(
        email="bench@example.com", name="Bench"
    )
    person.groups.set(Group.objects.all())
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(person)
    return client
