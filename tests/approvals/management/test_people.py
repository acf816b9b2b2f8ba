"""The whole room."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import ApiToken, User
from approvals.models import Action, AuditEvent
from tests.support.factories import make_token

pytestmark = pytest.mark.django_db


def run(*words: Any) -> str:
    said = StringIO()
    call_command("people", *words, stdout=said)
    return said.getvalue().strip()


def test_a_person_is_deactivated_by_the_command_line(client: Client, ada: User, rita: User) -> None:
    client.force_login(rita)
    make_token(rita)
    assert run("deactivate", "Rita@example.com") == f"{rita.label} is deactivated and signed out everywhere."
    assert client.get("/models/").status_code == 302
    event = AuditEvent.objects.get(action=Action.PERSON_DEACTIVATED)
    assert (event.actor, event.actor_label) == (None, "Countersign command line")
    assert ApiToken.objects.get().revoked_at is not None


def test_twice_records_nothing_more(ada: User, rita: User) -> None:
    run("deactivate", rita.email)
    assert run("deactivate", rita.email) == f"{rita.label} was deactivated already."
    assert AuditEvent.objects.filter(action=Action.PERSON_DEACTIVATED).count() == 1


def test_the_last_administrator_stays(ada: User) -> None:
    with pytest.raises(CommandError, match="At least one administrator is required"):
        run("deactivate", ada.email)
    ada.refresh_from_db()
    assert ada.is_active


def test_an_unknown_address_is_an_error(ada: User) -> None:
    with pytest.raises(CommandError, match="No one has the e-mail address"):
        run("deactivate", "nobody@example.com")
