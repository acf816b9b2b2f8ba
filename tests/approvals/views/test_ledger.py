"""The page of the ledger: its state, checkpoints, what is taken away, and the red banner when something is wrong."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import administration, ledger, tasks
from approvals.ledger import notes, standalone
from approvals.models import Action, AuditEvent, Checkpoint, Signing, Verification
from tests.approvals.ledger import tampering
from tests.approvals.ledger.ledger_history import SEED
from tests.support.factories import make_person
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db
PAGE = "/history/ledger/"


def append(count: int = 1) -> None:
    with transaction.atomic():
        for number in range(count):
            ledger.record(Action.GROUP_CREATED, actor=None, data={"group": str(number)})


def client_of(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def text(client: Client, address: str = PAGE) -> str:
    return text_of(client.get(address).content.decode())


def test_without_a_key_the_page_says_so_and_offers_the_head(vera: User) -> None:
    append(2)
    shown = text(client_of(vera))
    assert "Not verified yet" in shown
    assert "no key to sign checkpoints" in shown
    assert str(ledger.head()) in shown


def test_verification_is_asked_for_followed_and_shown(vera: User) -> None:
    append(3)
    client = client_of(vera)
    assert client.get(f"{PAGE}state/").status_code == 286
    assert client.post(f"{PAGE}verify/", follow=True).redirect_chain[-1][0] == PAGE
    page = client.get(PAGE).content.decode()
    assert "Being verified" in page
    assert 'hx-trigger="every 1s"' in page
    assert client.get(f"{PAGE}state/").status_code == 200
    assert "already running" in text_of(client.post(f"{PAGE}verify/", follow=True).content.decode())
    assert tasks.verify_ledger() == "intact"
    assert Verification.objects.get().remarks == ""  # nothing is from before there were seals
    answer = client.get(f"{PAGE}state/")
    assert (answer.status_code, answer["HX-Refresh"]) == (286, "true")
    assert "Intact 3 events verified" in text_of(answer.content.decode())
    assert "Vera Holm" in text(client)


def test_a_worker_that_is_silent_is_told_of_and_a_result_says_who_computed_the_hashes(vera: User) -> None:
    append(3)
    client = client_of(vera)
    administration.ask_to_verify(by=vera)
    Verification.objects.update(seen_at=timezone.now())
    assert "Another one starts over" not in text(client)
    Verification.objects.update(seen_at=timezone.now() - timedelta(minutes=3))
    assert "Another one starts over after 10 minutes of silence." in text(client, f"{PAGE}state/")
    Verification.objects.update(seen_at=None)
    assert tasks.verify_ledger() == "intact"
    assert "Countersign computed every hash." in text(client)
    Verification.objects.update(was_in_database=True)
    shown = text(client)
    assert "PostgreSQL computed the hashes; Countersign computed a sample of them." in shown
    assert "computed every hash" not in shown


def test_a_failed_verification_is_a_red_banner_on_the_pages_of_the_history(vera: User) -> None:
    append(3)
    client = client_of(vera)
    assert "verification of the ledger failed" not in text(client, "/history/")
    tampering.alter(2, payload="{}")
    assert tasks.verify_ledger() == "broken"
    for address in ("/history/", PAGE):
        shown = text(client, address)
        assert "The last verification of the ledger failed at event 2. Event 2 was altered" in shown
    assert "Event 2 was altered" in text(client, "/system/")


def test_checkpoints_are_shown_signed_by_administrators_and_downloaded(ada: User, vera: User, settings: Any) -> None:
    settings.CHECKPOINT_KEY = SEED
    append(2)
    client = client_of(ada)
    assert "Set COUNTERSIGN_CHECKPOINT_KEY for the worker" in text(client)
    assert "Sign checkpoint" not in text(client)
    assert client.post(f"{PAGE}checkpoint/").status_code == 422
    tasks.sign_wanted()  # the worker says that it has a key
    settings.CHECKPOINT_KEY = b""  # web has none
    assert "No checkpoints yet." in text(client)
    assert "Sign checkpoint" in text(client)
    answer = client.post(f"{PAGE}checkpoint/", follow=True)
    shown = text_of(answer.content.decode())
    assert re.search("Being signed A checkpoint, requested by .*Ada Brandt", shown)
    assert "The worker signs within seconds." in shown
    assert "Sign checkpoint" not in shown
    assert client.get(f"{PAGE}state/").status_code == 200
    Signing.objects.update(wanted_at=timezone.now() - timedelta(minutes=2))
    assert "No worker has signed it yet. Check that one is running." in text(client)
    settings.CHECKPOINT_KEY = SEED
    assert tasks.sign_wanted() == 1
    followed = client.get(f"{PAGE}state/")
    assert (followed.status_code, followed["HX-Refresh"]) == (286, "true")
    assert "Checkpoint 1 #2" in text(client)
    append()
    administration.take_checkpoint(by=None)
    assert client_of(vera).post(f"{PAGE}checkpoint/").status_code == 403
    assert "Sign checkpoint" not in text(client_of(vera))
    answer = client_of(vera).get("/history/checkpoints.txt")
    kept = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    assert [note.sequence for note in standalone.checkpoints(kept)] == [2, 3]
    assert notes.own_key() in text(client)
    tampering.alter(3, payload="{}")
    append()
    assert "Nothing was signed. Event 3" not in text(client)
    Checkpoint.objects.filter(number=2).delete()
    assert client.post(f"{PAGE}checkpoint/").status_code == 302
    assert tasks.sign_wanted() is None
    assert "Not signed Nothing was signed. Event 3 was altered" in text(client)


def test_the_verifier_and_the_lines_of_an_export_are_what_the_page_offers(vera: User, tmp_path: Any) -> None:
    append(4)
    client = client_of(vera)
    code = tmp_path / "verifier.py"
    code.write_bytes(client.get("/history/verifier.py").content)
    assert code.read_text() == open(standalone.__file__).read()  # noqa: PTH123, SIM115
    answer = client.get("/history/export.jsonl?action=group.created")
    assert "export" not in answer.get("Location", "")
    assert answer["Content-Type"] == "application/jsonl; charset=utf-8"
    assert answer["Content-Disposition"].endswith('.jsonl"')
    export = tmp_path / "export.jsonl"
    export.write_bytes(b"".join(answer.streaming_content))  # type: ignore[attr-defined]
    assert standalone.main([str(export), "--complete", "--head", f"4:{AuditEvent.objects.get(sequence=4).hash}"]) == 0
    assert AuditEvent.objects.get(sequence=5).action == Action.HISTORY_EXPORTED


ROLES = {"requester": 302, "reviewer": 302, "responder": 302, "auditor": 302, "administrator": 302}


@pytest.mark.parametrize("role", ROLES)
def test_everybody_who_reads_the_history_may_ask_and_administrators_have_it_signed(role: str, settings: Any) -> None:
    settings.CHECKPOINT_KEY = SEED
    client = client_of(make_person("Nina New", role))
    assert client.post(f"{PAGE}verify/").status_code == ROLES[role]
    assert Verification.objects.filter(asked_by__name="Nina New").exists()
    assert client.get(f"{PAGE}state/").status_code == 200
    assert client.get(f"{PAGE}verify/").status_code == 405
    assert client.get(f"{PAGE}checkpoint/").status_code == 405
    tasks.sign_wanted()
    answer = client.post(f"{PAGE}checkpoint/")
    assert answer.status_code == (302 if role == "administrator" else 403)
    assert Signing.objects.filter(wanted_by__name="Nina New").exists() is (role == "administrator")
    if role != "administrator":
        assert administration.REASONS[administration.CHECKPOINT] in text_of(answer.content.decode())
    forger = Client(enforce_csrf_checks=True)
    forger.force_login(User.objects.get(name="Nina New"))
    assert {forger.post(f"{PAGE}{verb}/").status_code for verb in ("verify", "checkpoint")} == {403}


def test_the_number_of_queries_does_not_grow(vera: User, settings: Any) -> None:
    settings.CHECKPOINT_KEY = SEED
    client = client_of(vera)

    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(PAGE)
        return len(queries)

    append()
    administration.take_checkpoint(by=None)
    Verification.objects.create(ended_at=timezone.now(), asked_by=vera)
    client.get(PAGE)
    before = count()
    for _ in range(12):
        append()
        administration.take_checkpoint(by=None)
        Verification.objects.create(ended_at=timezone.now(), asked_by=vera)
    assert count() == before
