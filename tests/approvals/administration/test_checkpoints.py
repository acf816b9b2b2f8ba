"""Checkpoints: signed heads, keys that change, and heads that are never signed; and verification by the worker."""

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from approvals import administration, ledger, tasks
from approvals.ledger import notes
from approvals.models import Action, AuditEvent, Checkpoint, Verification
from approvals.models.checkpoints import SILENT
from approvals.workflow import Conflict, Invalid, NotAllowed
from registry_ui.environment import Environment
from tests.approvals.ledger import tampering
from tests.approvals.ledger.ledger_history import OTHER_SEED, SEED, base64_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def key(settings: Any) -> None:
    settings.CHECKPOINT_KEY = SEED


def append(count: int = 1) -> None:
    with transaction.atomic():
        for number in range(count):
            ledger.record(Action.GROUP_CREATED, actor=None, data={"group": str(number)})


def take() -> Checkpoint:
    return administration.take_checkpoint(by=None)


def test_a_checkpoint_is_the_head_signed() -> None:
    append(3)
    taken = take()
    assert (taken.number, taken.sequence, taken.hash) == (1, 3, ledger.head().hash)
    assert taken.text.splitlines()[:4] == ["127.0.0.1:8000/ledger", "3", taken.hash, "number 1"]
    (note,) = notes.read(taken.text)
    assert (note.sequence, note.hash) == (3, taken.hash)
    assert take() == taken  # nothing was recorded since
    append()
    assert (take().number, take().sequence) == (2, 4)
    assert ledger.verify(with_anchors=True).is_intact


def test_an_empty_ledger_can_be_signed_too() -> None:
    assert (take().sequence, take().number) == (0, 1)
    append()
    assert ledger.verify(with_anchors=True).is_intact


def test_without_a_key_nothing_is_signed(settings: Any) -> None:
    settings.CHECKPOINT_KEY = b""
    with pytest.raises(Invalid, match="There is no signing key"):
        take()
    assert tasks.checkpoint() is None
    assert not Checkpoint.objects.exists()


def test_only_administrators_have_it_signed(ada: User, vera: User) -> None:
    with pytest.raises(NotAllowed, match="Only administrators"):
        administration.take_checkpoint(by=vera)
    assert administration.take_checkpoint(by=ada).number == 1


def test_a_change_of_key_is_recorded_before_the_first_checkpoint_with_the_new_one(settings: Any, ada: User) -> None:
    append()
    take()
    old = notes.own_key()
    settings.CHECKPOINT_KEY = OTHER_SEED
    with pytest.raises(Invalid, match="signed with a key that is not trusted"):
        take()
    settings.CHECKPOINT_PUBLIC_KEYS = [old]
    second = administration.take_checkpoint(by=ada)
    changed = AuditEvent.objects.get(action=Action.KEY_CHANGED)
    assert changed.data == {"before": old, "after": notes.own_key()}
    assert changed.actor == ada
    assert second.sequence == changed.sequence
    assert take() == second
    assert ledger.verify(with_anchors=True).is_intact
    settings.CHECKPOINT_PUBLIC_KEYS = []
    assert "signed with a key that is not trusted" in ledger.verify(with_anchors=True).problem


@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        (lambda: tampering.alter(4, payload="{}"), "Nothing was signed. Event 4 was altered"),
        (
            lambda: tampering.rewrite(2, payload="{}"),
            "Nothing was signed: event 3 is not the one of checkpoint 1 any more.",
        ),
        (lambda: tampering.cut_off(2), "Nothing was signed: event 3 is not the one of checkpoint 1 any more."),
        (lambda: Checkpoint.objects.update(text="x"), "Nothing was signed. There is no checkpoint"),
    ],
)
def test_a_head_that_does_not_go_on_from_the_last_checkpoint_is_never_signed(tamper: Any, problem: str) -> None:
    append(3)
    take()
    append(2)
    tamper()
    with pytest.raises(Invalid) as raised:
        take()
    assert problem in raised.value.message
    assert Checkpoint.objects.count() == 1


def test_the_command_prints_what_is_kept_elsewhere_and_verification_takes_it(tmp_path: Path) -> None:
    append(2)
    out = StringIO()
    call_command("checkpoint", stdout=out)
    assert out.getvalue() == Checkpoint.objects.get().text
    kept = tmp_path / "kept.txt"
    kept.write_text(out.getvalue(), encoding="utf-8")
    said = StringIO()
    call_command("verify_ledger", checkpoint=[str(kept)], stdout=said)
    assert said.getvalue().startswith("The ledger is intact: 2 events")
    forged = tmp_path / "forged.txt"
    forged.write_text(out.getvalue().replace("\n2\n", "\n1\n"), encoding="utf-8")
    with pytest.raises(CommandError, match=r"broken\. .* was altered: the signature"):
        call_command("verify_ledger", checkpoint=[str(forged)])
    tampering.rewrite(1, payload="{}")
    with pytest.raises(CommandError, match=r"broken at event 2\. .* which was kept elsewhere, says") as raised:
        call_command("verify_ledger", checkpoint=[str(kept)])
    assert raised.value.returncode == 1
    with pytest.raises(CommandError, match="cannot be read") as raised:
        call_command("verify_ledger", checkpoint=[str(tmp_path / "missing")])
    assert raised.value.returncode == 2


def test_a_new_key_is_printed_and_can_be_used(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    call_command("checkpoint", new_key=True, stdout=out)
    private, public = (line.partition(mark)[2] for line, mark in zip(out.getvalue().splitlines(), "=:", strict=True))
    assert not Checkpoint.objects.exists()
    monkeypatch.setenv("A", private)
    settings.CHECKPOINT_KEY = Environment().signing_key("A")
    assert notes.own_key() == public.strip()


def test_keys_are_read_from_pem_base64_and_files_and_nonsense_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    private = Ed25519PrivateKey.from_private_bytes(SEED)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    (tmp_path / "key.pem").write_text(pem)
    monkeypatch.setenv("A", base64_of(SEED))
    monkeypatch.setenv("B", pem)
    monkeypatch.setenv("C_FILE", str(tmp_path / "key.pem"))
    monkeypatch.setenv("D", "c2hvcnQ=")
    monkeypatch.setenv("E", "name+12345678")
    environment = Environment()
    assert [environment.signing_key(name) for name in "ABC"] == [SEED] * 3
    assert not environment.problems
    assert environment.signing_key("D") == b""
    assert environment.public_keys("E") == []
    assert [problem.partition(":")[0] for problem in environment.problems] == ["D", "E"]
    assert "c2hvcnQ" not in "".join(environment.problems)


# --- Verification by the worker


def test_the_worker_verifies_on_schedule_and_on_demand(vera: User, settings: Any) -> None:
    append(2)
    assert tasks.verify_ledger() == "intact"
    first = Verification.objects.get()
    assert (first.events, first.head, first.problem, first.asked_by) == (2, ledger.head().hash, "", None)
    assert tasks.verify_ledger() == "nothing due"
    asked = administration.ask_to_verify(by=vera)
    with pytest.raises(Conflict, match="already running"):
        administration.ask_to_verify(by=vera)
    tampering.alter(2, payload="{}")
    assert tasks.verify_ledger() == "broken"
    asked.refresh_from_db()
    assert (asked.first_bad, asked.is_intact) == (2, False)
    assert asked.problem.startswith("Event 2 was altered")
    Verification.objects.update(ended_at=timezone.now() - timedelta(seconds=settings.VERIFY_SECONDS + 1))
    assert tasks.verify_ledger() == "broken"
    assert Verification.objects.count() == 3


def test_a_run_whose_worker_died_is_taken_over(vera: User) -> None:
    run = administration.ask_to_verify(by=vera)
    Verification.objects.update(seen_at=timezone.now())
    assert tasks.verify_ledger() == "nothing due"  # somebody is at it
    Verification.objects.update(seen_at=timezone.now() - 2 * SILENT)
    assert tasks.verify_ledger() == "intact"
    run.refresh_from_db()
    assert run.ended_at is not None


def test_people_without_a_role_cannot_ask() -> None:
    nobody = User.objects.create_user(email="nina@example.com", name="Nina", password=None)
    with pytest.raises(NotAllowed):
        administration.ask_to_verify(by=nobody)
