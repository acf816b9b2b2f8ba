"""Checkpoints: signed heads, keys that change, and heads that are never signed; and verification by the worker."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction
from django.utils import timezone

from accounts.models import User
from approvals import administration, ledger, tasks
from approvals.administration import checkpoints
from approvals.ledger import notes
from approvals.models import Action, AuditEvent, Checkpoint, Signing, Verification
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


def test_who_asks_has_it_signed_by_the_worker_who_alone_has_the_key(ada: User, vera: User, settings: Any) -> None:
    settings.CHECKPOINT_KEY = b""
    with pytest.raises(NotAllowed, match="Only administrators"):
        administration.ask_to_sign(by=vera)
    with pytest.raises(Invalid, match="No worker has a signing key"):
        administration.ask_to_sign(by=ada)
    settings.CHECKPOINT_KEY = SEED
    assert tasks.sign_wanted() is None  # nothing is wanted; it says with which key it would
    assert Signing.objects.get().key == notes.own_key()
    settings.CHECKPOINT_KEY = b""
    append()
    administration.ask_to_sign(by=ada)
    wanted = Signing.objects.get()
    administration.ask_to_sign(by=ada)
    assert Signing.objects.get().wanted_at == wanted.wanted_at  # whoever asks meanwhile waits for the same one
    assert not Checkpoint.objects.exists()
    settings.CHECKPOINT_KEY = SEED
    assert tasks.sign_wanted() == 1
    assert tasks.sign_wanted() is None
    done = Signing.objects.get()
    assert (done.wanted_at, done.wanted_by, done.problem) == (None, None, "")


def test_what_was_not_signed_is_said_until_it_is(ada: User, settings: Any) -> None:
    append(2)
    tasks.sign_wanted()
    administration.ask_to_sign(by=ada)
    ada.groups.clear()
    assert tasks.sign_wanted() is None
    assert "Only administrators" in Signing.objects.get().problem
    ada.groups.add(Group.objects.get(name="administrator"))
    ada = User.objects.get(pk=ada.pk)
    administration.ask_to_sign(by=ada)
    settings.CHECKPOINT_KEY = b""  # the key was taken from the worker meanwhile
    assert tasks.sign_wanted() is None
    assert "There is no signing key" in Signing.objects.get().problem
    assert Signing.objects.get().key == ""
    settings.CHECKPOINT_KEY = SEED
    tasks.sign_wanted()
    administration.ask_to_sign(by=ada)
    assert Signing.objects.get().problem == ""
    assert tasks.sign_wanted() == 1


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
            "Nothing was signed. Event 3 is not the one of checkpoint 1 any more.",
        ),
        (lambda: tampering.cut_off(2), "Nothing was signed. Event 3 is not the one of checkpoint 1 any more."),
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


def test_the_command_verifies_from_the_newest_checkpoint_on_and_says_so(tmp_path: Path) -> None:
    def said() -> str:
        out = StringIO()
        call_command("verify_ledger", since_checkpoint=True, references=False, stdout=out)
        return out.getvalue()

    append(3)
    assert "taken at its word" not in said()  # there is none yet, so it is the whole chain
    take()
    append(2)
    assert "5 events" in said()
    assert "Up to event 3 the newest signed checkpoint was taken at its word." in said()
    with tampering.without_triggers():
        AuditEvent.objects.filter(sequence=2).update(stored_actor="Mallory")
    assert "intact" in said()  # as the help says; the whole proof finds it
    with pytest.raises(CommandError, match="Event 2 was altered"):
        call_command("verify_ledger", stdout=StringIO())
    tampering.alter(4, payload="{}")
    with pytest.raises(CommandError, match="broken at event 4") as raised:
        said()
    assert raised.value.returncode == 1
    Checkpoint.objects.update(text="x")
    with pytest.raises(CommandError, match=r"The ledger is broken\. There is no checkpoint") as raised:
        said()
    assert raised.value.returncode == 1


def test_the_command_has_an_exit_code_of_its_own_for_what_says_nothing_about_the_ledger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise DatabaseError("server closed the connection")

    monkeypatch.setattr(ledger, "verify", gone)
    with pytest.raises(CommandError, match="could not be verified: server closed the connection") as raised:
        call_command("verify_ledger")
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


def test_who_asks_gets_the_first_pass_and_the_schedule_computes_every_hash_itself(
    vera: User, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(2)
    asked_for: list[bool] = []
    problem = ""

    def verify(*_: object, first_pass: bool, **__: object) -> ledger.Verdict:
        asked_for.append(first_pass)
        return ledger.Verdict(2, problem, in_database=first_pass)

    monkeypatch.setattr(ledger, "verify", verify)
    tasks.verify_ledger()
    Verification.objects.update(ended_at=timezone.now() - timedelta(seconds=settings.VERIFY_SECONDS + 1))
    administration.ask_to_verify(by=vera)
    tasks.verify_ledger()
    assert tasks.verify_ledger() == "intact"  # no matter that somebody asked just now
    assert tasks.verify_ledger() == "nothing due"
    assert asked_for == [False, True, False]
    assert list(Verification.objects.order_by("pk").values_list("was_in_database", flat=True)) == asked_for
    problem = "Event 1 was altered."
    for expected in (True, False, False):  # what was found once is not taken back on the database's word
        administration.ask_to_verify(by=vera)
        tasks.verify_ledger()
        assert asked_for[-1] is expected


def test_a_run_reports_as_it_goes_and_no_more_often_than_the_page_asks(
    vera: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(2)
    clock = iter(range(100))
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: next(clock) / 10)
    seen: list[tuple[int, str]] = []

    def verify(show: Callable[[int], None], *, doing: Callable[[str], None], **_: object) -> ledger.Verdict:
        doing("the chain")
        for number in range(1, 31):
            show(number)
            seen.append(Verification.objects.values_list("events", "doing")[0])
        doing("people")
        seen.append(Verification.objects.values_list("events", "doing")[0])
        return ledger.Verdict(30)

    monkeypatch.setattr(ledger, "verify", verify)
    tasks.verify_ledger()
    assert 3 < len(set(seen)) < 12
    assert {doing for _, doing in seen[:-1]} == {"the chain"}
    assert seen[-1] == (30, "people")


def test_people_without_a_role_cannot_ask() -> None:
    nobody = User.objects.create_user(email="nina@example.com", name="Nina", password=None)
    with pytest.raises(NotAllowed):
        administration.ask_to_verify(by=nobody)
