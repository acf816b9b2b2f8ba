"""What a browser's session has noted about proofs of identity, moved in time."""

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from django.test import Client


def age(client: Client, seconds: float) -> None:
    """As if everything that the person of this session has proved had happened so much earlier."""
    session = client.session
    for record in session[AUTHENTICATION_METHODS_SESSION_KEY]:
        record["at"] -= seconds
    session.save()
