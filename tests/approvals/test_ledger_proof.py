"""Whatever somebody with the database's password does is found, and the message names the first bad row: by the
verification, and from an export by the stand-alone verifier."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from approvals import ledger
from approvals.ledger import standalone
from approvals.ledger.notes import own_key
from approvals.models import Action, AuditEvent, Checkpoint, PromotionRequest, Review, Target, Tenure
from registry_ui.accounts.models import User
from registry_ui.mirror.models import ModelVersion
from tests.approvals import ledger_history, tampering
from tests.approvals.ledger_history import History

pytestmark = pytest.mark.django_db
VERIFIER = standalone.__file__


@pytest.fixture
def history(production: Target, settings: Any, rita: User, remy: User, rosa: User) -> History:
    return ledger_history.make(production, settings, by=rita, people=[remy, rosa])


def prove(**options: Any) -> ledger.Verdict:
    return ledger.verify(**({"with_references": True, "with_anchors": True} | options))


def run_verifier(*arguments: object) -> tuple[int, str]:
    """Isolated and without site-packages: nothing but the standard library."""
    command = [sys.executable, "-I", "-S", VERIFIER, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def number_of(action: Action, nth: int = 0) -> int:
    return AuditEvent.objects.filter(action=action).order_by("sequence")[nth].sequence


def test_an_untouched_history_is_proved_in_every_way(history: History, tmp_path: Path) -> None:
    verdict = prove(checkpoints=history.checkpoints)
    assert verdict.problem == ""
    assert verdict.head == ledger.head().hash
    assert verdict.events == ledger.head().sequence > 10
    for ending in ("jsonl", "csv"):
        code, said = run_verifier(
            ledger_history.export(tmp_path, ending=ending),
            *("--checkpoint", history.kept(tmp_path), "--public-key", own_key(), "--head", ledger.head(), "--complete"),
        )
        assert (code, "3 of 3 checkpoints and heads fit" in said) == (0, True), said


# --- Rows that do not fit each other

IN_THE_CHAIN: dict[str, tuple[Callable[[], None], int, str, str]] = {
    "changed": (lambda: tampering.alter(4, actor_label="Mallory"), 4, "Event 4 was altered", "Event 4 was altered"),
    "changed, with a hash that fits": (
        lambda: tampering.alter(4, payload="{}", with_fitting_hash=True),
        5,
        "Event 5 does not follow from the one before it",
        "Event 5 does not follow from event 4",
    ),
    "another actor": (lambda: tampering.alter(3, actor_id=None), 3, "Event 3 was altered", "Event 3 was altered"),
    "deleted": (lambda: tampering.delete(3), 3, "Event 3 is missing; 4 follows 2", "event 3 is missing"),
    "the first deleted": (lambda: tampering.delete(1), 1, "Event 1 is missing; 2 follows 0", "event 1 is missing"),
    "reordered": (lambda: tampering.swap(3, 5), 3, "Event 3 does not follow", "Event 3 was altered"),
    "a time that is none": (lambda: tampering.alter(4, model_name="x"), 4, "Event 4 was altered", "Event 4 was"),
}


@pytest.mark.parametrize("how", IN_THE_CHAIN)
def test_rows_that_were_tampered_with_are_found(history: History, tmp_path: Path, how: str) -> None:
    tamper, first_bad, problem, said_alone = IN_THE_CHAIN[how]
    tamper()
    verdict = prove()
    assert verdict.first_bad == first_bad
    assert problem in verdict.problem
    code, said = run_verifier(ledger_history.export(tmp_path), "--complete")
    assert code == 1
    assert said_alone in said


def test_a_row_with_values_of_another_kind_is_altered_not_a_crash(history: History) -> None:
    if connection.vendor != "sqlite":
        return  # PostgreSQL's columns take nothing else
    for column, value in (
        ("at", "'yesterday'"),
        ("correlation_id", "'x'"),
        ("payload", "x'00ff'"),
        ("actor_id", "'7a'"),
    ):
        with tampering.without_triggers(), connection.cursor() as cursor:
            cursor.execute("PRAGMA defer_foreign_keys = ON")
            cursor.execute(f"SELECT {column} FROM approvals_auditevent WHERE sequence = 3")  # noqa: S608
            (before,) = cursor.fetchone()
            cursor.execute(f"UPDATE approvals_auditevent SET {column} = {value} WHERE sequence = 3")  # noqa: S608
            verdict = ledger.verify()
            cursor.execute(f"UPDATE approvals_auditevent SET {column} = %s WHERE sequence = 3", [before])  # noqa: S608
        assert (verdict.first_bad, verdict.problem) == (
            3,
            "Event 3 was altered: its hash does not fit its content.",
        ), column
    assert ledger.verify().is_intact


# --- A chain that fits again

REWRITTEN: dict[str, Callable[[], None]] = {
    "changed": lambda: tampering.rewrite(3, actor_label="Mallory"),
    "inserted": lambda: tampering.insert(3, actor_label="Mallory"),
    "from the first on": lambda: tampering.rewrite(1, actor_label="Mallory"),
}


@pytest.mark.parametrize("how", REWRITTEN)
def test_a_history_that_was_rewritten_with_fresh_hashes_contradicts_checkpoints_and_tags(
    history: History, tmp_path: Path, how: str
) -> None:
    first = Checkpoint.objects.get(number=1).sequence
    REWRITTEN[how]()
    assert ledger.verify().is_intact  # the chain alone cannot know

    verdict = ledger.verify(checkpoints=history.checkpoints)
    assert verdict.first_bad == first
    assert f"event {first} has the hash" in verdict.problem
    assert "which was kept elsewhere, says" in verdict.problem
    code, said = run_verifier(
        ledger_history.export(tmp_path), "--checkpoint", history.kept(tmp_path), "--public-key", own_key()
    )
    assert code == 1
    assert f"says that event {first} has another hash" in said

    Checkpoint.objects.all().delete()  # whoever owns the database owns these too
    tag = ModelVersion.objects.get(number=1).tags["countersign.ledger_head"]
    verdict = prove(with_references=False)
    assert verdict.first_bad == int(tag.partition(":")[0])
    assert "The tag countersign.ledger_head of churn_predictor version 1 in MLflow says" in verdict.problem
    assert "the ledger was rewritten" in verdict.problem
    assert "or somebody changed the tag in MLflow" in verdict.problem


def test_what_was_rewritten_after_a_checkpoint_is_placed_between_two(history: History) -> None:
    first, second = Checkpoint.objects.order_by("number")
    tampering.rewrite(first.sequence + 2, allowed_by="Mallory")
    verdict = ledger.verify(checkpoints=history.checkpoints)
    assert verdict.first_bad == second.sequence
    assert verdict.problem.endswith(f"Up to event {first.sequence} it is confirmed.")


def test_an_end_that_was_cut_off_is_missed_by_checkpoint_and_tag(history: History, tmp_path: Path) -> None:
    first, second = Checkpoint.objects.order_by("number")
    tampering.cut_off(first.sequence + 1)
    assert ledger.verify().is_intact
    verdict = ledger.verify(checkpoints=history.checkpoints)
    assert verdict.first_bad == second.sequence
    assert f"the ledger ends at event {first.sequence}: its end was cut off" in verdict.problem
    _, said = run_verifier(
        ledger_history.export(tmp_path), "--checkpoint", history.kept(tmp_path), "--public-key", own_key()
    )
    assert f"is about event {second.sequence}; the export ends at {first.sequence}" in said
    Checkpoint.objects.all().delete()
    assert "of churn_predictor version 2 in MLflow knows event" in prove().problem


def test_checkpoints_that_were_tampered_with_are_found(history: History) -> None:
    kept = Checkpoint.objects.get(number=1)
    Checkpoint.objects.filter(number=1).update(hash="0" * 64)
    assert prove().problem == "Checkpoint 1 was altered: it is not what its signed text says."
    Checkpoint.objects.filter(number=1).update(hash=kept.hash, text=kept.text.replace("number 1", "number 9"))
    assert "was altered: the signature of 127.0.0.1:8000/ledger does not fit it." in prove().problem
    Checkpoint.objects.filter(number=1).delete()
    assert prove().problem == "Checkpoint 1 is missing; 2 follows 0."


def test_a_forged_tag_is_told_as_one_of_two_possibilities(history: History) -> None:
    version = ModelVersion.objects.get(number=2)
    version.tags |= {"countersign.ledger_head": f"2:{'a' * 64}"}
    version.save()
    verdict = prove()
    assert verdict.first_bad == 2
    assert "event 2 has the hash aaaaaaaaaaaa…" in verdict.problem
    assert "or somebody changed the tag in MLflow" in verdict.problem
    version.tags |= {"countersign.ledger_head": "nonsense"}
    version.save()
    assert "names no event: somebody changed it in MLflow." in prove().problem


# --- The tables beside it


def swap_reviewers() -> None:
    first, second = Review.objects.order_by("pk")[:2]
    people = first.reviewer_id, second.reviewer_id
    ghost = User.objects.create_user(email="ghost@example.com", name="Ghost", password=None)
    Review.objects.filter(pk=first.pk).update(reviewer=ghost)
    Review.objects.filter(pk=second.pk).update(reviewer_id=people[0])
    Review.objects.filter(pk=first.pk).update(reviewer_id=people[1])


def swap_names() -> None:
    remy, rosa = User.objects.get(name="Remy Ortiz"), User.objects.get(name="Rosa Lind")
    User.objects.filter(pk=remy.pk).update(email="x@example.com")
    User.objects.filter(pk=rosa.pk).update(name=remy.name, email=remy.email)
    User.objects.filter(pk=remy.pk).update(name=rosa.name, email=rosa.email)


def forge_review() -> None:
    review = Review.objects.order_by("pk")[0]
    review.pk, review.reviewer = None, User.objects.create_user(email="m@example.com", name="Mallory", password=None)
    review.save()


def alter_evidence() -> None:
    request = PromotionRequest.objects.order_by("pk")[0]
    PromotionRequest.objects.filter(pk=request.pk).update(evidence=request.evidence.replace("0.91", "0.99"))


BESIDE: dict[str, tuple[Callable[[], Any], str]] = {
    "reviewers swapped": (swap_reviewers, r"Review \d+ of request #\d+ names another reviewer than event \d+\."),
    "names swapped": (swap_names, "Two people were swapped, or one took another's name: R"),
    "a verdict turned": (
        lambda: Review.objects.filter(pk=Review.objects.order_by("pk")[0].pk).update(verdict="reject", comment="No."),
        r"Review \d+ of request #\d+ has another verdict than event \d+\.",
    ),
    "a comment written": (
        lambda: Review.objects.filter(pk=Review.objects.order_by("pk")[1].pk).update(comment="I never looked."),
        r"Review \d+ of request #\d+ has another comment than event \d+\.",
    ),
    "another fingerprint": (
        lambda: Review.objects.update(fingerprint="0" * 64),
        r"Review \d+ of request #\d+ is about other evidence than event \d+ says\.",
    ),
    "a review deleted": (
        lambda: Review.objects.filter(pk=Review.objects.order_by("-pk")[0].pk).delete(),
        r"The review that event \d+ tells of is missing from request #\d+\.",
    ),
    "a review forged": (forge_review, r"Review \d+ of request #\d+ is in no event: nobody signed it"),
    "a request turned back": (
        lambda: PromotionRequest.objects.update(status="rejected"),
        r"Request #\d+ is rejected, but event \d+ says that its version was promoted\.",
    ),
    "another requester": (
        lambda: PromotionRequest.objects.update(requester=User.objects.create_user(email="m@example.com", name="M")),
        r"Request #\d+ names another requester than event \d+",
    ),
    "evidence altered": (alter_evidence, r"The evidence of request #\d+ was altered"),
    "a tenure deleted": (
        lambda: Tenure.objects.filter(place="@champion", version_number=1).delete(),
        r"The tenure of version 1 of churn_predictor in Production \(@champion\) is missing: event \d+ says",
    ),
    "a tenure of another version": (
        lambda: Tenure.objects.filter(version_number=1).update(version_number=9),
        r"The tenure of churn_predictor version 9 .* does not fit event \d+, which it begins with: .* version 1\.",
    ),
    "a tenure that begins with another event": (
        lambda: Tenure.objects.filter(version_number=1).update(start_sequence=1),
        r"does not fit event 1, which it begins with: that is request.created\.",
    ),
    "a tenure that begins with no event": (
        lambda: Tenure.objects.filter(version_number=1).update(start_sequence=999),
        r"begins with event 999, which is not there\.",
    ),
    "a tenure that ends with no event": (
        lambda: Tenure.objects.filter(version_number=1).update(end_sequence=999),
        r"ends with event 999, which is not there\.",
    ),
}


@pytest.mark.parametrize("how", BESIDE)
def test_tables_that_contradict_the_ledger_are_found(history: History, how: str) -> None:
    tamper, problem = BESIDE[how]
    tamper()
    assert ledger.verify().is_intact  # nothing in the chain has changed
    verdict = prove()
    assert not verdict.is_intact
    assert re.search(problem, verdict.problem), verdict.problem


def test_promoted_without_an_event_is_found(history: History) -> None:
    """An applied request whose end was cut off, head set back, as somebody who hides a promotion would."""
    tampering.cut_off(number_of(Action.VERSION_PROMOTED, 1))
    Checkpoint.objects.all().delete()
    verdict = prove(with_anchors=False)
    assert f"Request #{history.requests[1].pk} is applied, but no event says that its version was promoted." in (
        verdict.problem
    )


def test_a_request_that_nobody_made_is_found(history: History) -> None:
    request = PromotionRequest.objects.get(pk=history.requests[0].pk)
    request.pk = None
    request.save()
    assert prove().problem == f"Request #{request.pk} is in no event: it was not made by Countersign."
