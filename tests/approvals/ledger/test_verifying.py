"""Whatever somebody with the database's password does is found, and the message names the first bad row: by the
verification, and from an export by the stand-alone verifier."""

import csv
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from approvals import administration, ledger, workflow
from approvals.ledger import standalone
from approvals.ledger.notes import own_key
from approvals.models import Action, AuditEvent, Checkpoint, Identity, PromotionRequest, Review, Target, Tenure
from mirror.models import ModelVersion
from tests.approvals.ledger import ledger_history, tampering
from tests.approvals.ledger.ledger_history import History
from tests.support.factories import make_person

pytestmark = pytest.mark.django_db
VERIFIER = standalone.__file__
REVIEWERS = ("Remy Ortiz", "Rosa Lind")


@pytest.fixture(scope="module")
def made(kept: None) -> History:
    rita, remy, rosa = make_person("Rita Sanz", "requester"), *(make_person(name, "reviewer") for name in REVIEWERS)
    make_person("Ada Brandt", "administrator")
    with override_settings(CHECKPOINT_KEY=ledger_history.SEED):
        production = Target.objects.get(name="Production")
        return ledger_history.make(production, django_settings, by=rita, people=[remy, rosa])


@pytest.fixture
def history(db: None, made: History, settings: Any) -> History:
    settings.CHECKPOINT_KEY = ledger_history.SEED
    return History(made.registry, list(PromotionRequest.objects.order_by("pk")), [*made.checkpoints])


@pytest.fixture
def ada(history: History) -> User:
    return named("Ada Brandt")


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


@pytest.mark.each_database
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


def test_a_time_that_is_none_is_altered_not_a_crash(history: History) -> None:
    if connection.vendor != "postgresql":
        return  # SQLite's columns take more than this: see below
    with tampering.without_triggers(), connection.cursor() as cursor:
        cursor.execute("UPDATE approvals_auditevent SET at = 'infinity' WHERE sequence = 3")
    for first_pass in (False, True):
        assert ledger.verify(first_pass=first_pass).first_bad == 3


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
    assert "or the tag was changed in MLflow" in verdict.problem


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
    assert "or the tag was changed in MLflow" in verdict.problem
    version.tags |= {"countersign.ledger_head": "nonsense"}
    version.save()
    assert "names no event: it was changed in MLflow." in prove().problem


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
    "names swapped": (
        swap_names,
        r"Person \d+ is called “(\w+) .*” now, but the ledger knows them as “(?!\1).*”, and as “\1 .*” person \d+: "
        r"they were swapped, or one took the other's name\. Event \d+ is the first that names them so\.",
    ),
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
        r"The review that event \d+ records is missing from request #\d+\.",
    ),
    "a review forged": (forge_review, r"Review \d+ of request #\d+ is in no event: it was not signed"),
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


@pytest.mark.each_database
@pytest.mark.parametrize("how", BESIDE)
def test_tables_that_contradict_the_ledger_are_found(history: History, how: str) -> None:
    tamper, problem = BESIDE[how]
    tamper()
    assert ledger.verify().is_intact  # nothing in the chain has changed
    verdict = prove()
    assert not verdict.is_intact
    assert re.search(problem, verdict.problem), verdict.problem


# --- The people behind the tokens


def named(label: str) -> User:
    return User.objects.get(name=label)


def swap_identities(*columns: str) -> None:
    first, second = Identity.objects.filter(label__startswith="R").order_by("pk")[:2]
    Identity.objects.filter(pk=second.pk).update(commitment="0" * 64)  # no two have the same at any time
    values = {column: getattr(second, column) for column in columns}
    Identity.objects.filter(pk=first.pk).update(**({"commitment": "1" * 64} | values))
    others = {column: getattr(first, column) for column in columns}
    Identity.objects.filter(pk=second.pk).update(**({"commitment": second.commitment} | others))
    if "commitment" not in columns:
        Identity.objects.filter(pk=first.pk).update(commitment=first.commitment)


def take_a_former_name_back() -> None:
    remy = named("Remy Ortiz")
    remy.name = "Remy Lind"
    remy.save()  # an event tells of it
    User.objects.filter(pk=remy.pk).update(name="Remy Ortiz")  # and none of this


def swap_actors() -> None:
    """In two events at once, with every hash from there on computed anew."""
    first, second = AuditEvent.objects.filter(action=Action.REVIEW_APPROVED).order_by("sequence")[:2]
    tampering.rewrite(first.sequence, actor_id=second.actor_id)
    tampering.rewrite(second.sequence, actor_id=first.actor_id)


def swap_actors_and_reviewers() -> None:
    swap_actors()
    swap_reviewers()


def put_in_another_token() -> None:
    made, approved = number_of(Action.REQUEST_CREATED), number_of(Action.REVIEW_APPROVED)
    stranger = Identity.objects.get(label__startswith="Remy")
    tampering.rewrite(made, actor_label=stranger.token)
    assert made < approved


def erase_a_name(label: str) -> None:
    Identity.objects.filter(label__startswith=label).update(label="", salt="", erased_at=timezone.now())


BEHIND_TOKENS: dict[str, tuple[Callable[[], Any], str, str]] = {
    # What is done, the sentence, and whose first event it names.
    "a name rewritten": (
        lambda: Identity.objects.filter(label__startswith="Remy").update(label="Mallory <m@x.example>"),
        r"What person \d+ is called was altered: “Mallory <m@x.example>” does not fit its commitment\.",
        "Remy",
    ),
    "a salt rewritten": (
        lambda: Identity.objects.filter(label__startswith="Remy").update(salt="0" * 32),
        r"What person \d+ is called was altered",
        "Remy",
    ),
    "an identity given to somebody else": (
        lambda: Identity.objects.filter(label__startswith="Remy").update(person_id=named("Rosa Lind").pk),
        r"What person \d+ is called was altered: “Remy Ortiz",
        "Remy",
    ),
    "two identities swapped": (
        lambda: swap_identities("label", "salt", "commitment"),
        r"What person \d+ is called was altered",
        "R",
    ),
    "their people swapped": (lambda: swap_identities("person_id"), r"What person \d+ is called was altered", "R"),
    "an identity deleted": (
        lambda: Identity.objects.filter(label__startswith="Remy").delete(),
        r"names person \d+ by a token that no identity of theirs has\.",
        "Remy",
    ),
    "a name erased": (
        lambda: erase_a_name("Remy"),
        r"A name of person \d+ was erased, but no event says that they were pseudonymised\.",
        "Remy",
    ),
    "somebody called otherwise": (
        lambda: User.objects.filter(name="Rosa Lind").update(email="eve@example.com"),
        r"Person \d+ is called “Rosa Lind <eve@example.com>” now, but the ledger knows them as “Rosa Lind <rosa@",
        "Rosa",
    ),
    "somebody called as before again": (
        take_a_former_name_back,
        r"Person \d+ is called “Remy Ortiz .*” now, but the ledger knows them as “Remy Lind .*”\.",
        "Remy Lind",
    ),
    "marked as pseudonymised": (
        lambda: User.objects.filter(name="Remy Ortiz").update(pseudonymised_at=timezone.now()),
        r"Person \d+ is marked as pseudonymised, but no event says so\.",
        "Remy",
    ),
    "actors swapped": (swap_actors_and_reviewers, r"is of person \d+, but its token is of person \d+\.", ""),
    "another's token": (put_in_another_token, r"Event 1 is of person \d+, but its token is of person \d+\.", "Rita"),
}


@pytest.mark.each_database
@pytest.mark.parametrize("how", BEHIND_TOKENS)
def test_people_who_are_not_those_whom_the_ledger_names_are_found(history: History, how: str) -> None:
    assert prove().problem == ""
    tamper, problem, whose = BEHIND_TOKENS[how]
    commitments = list(Identity.objects.filter(label__startswith=whose).values_list("commitment", flat=True))
    tamper()
    if whose == "Remy Lind":
        commitments = list(Identity.objects.filter(label__startswith=whose).values_list("commitment", flat=True))
    assert ledger.verify().is_intact  # the chain fits
    verdict = prove(with_anchors=False)
    assert re.search(problem, verdict.problem), verdict.problem
    texts = {
        event.sequence: f"{event.stored_actor} {event.stored_allowed_by} {event.payload}"
        for event in AuditEvent.objects.order_by("sequence")
    }
    if how == "actors swapped":
        first = number_of(Action.REVIEW_APPROVED)
    elif how == "another's token":
        first = 1
    else:
        first = next(number for number, text in texts.items() if any(each in text for each in commitments))
    assert verdict.first_bad == first
    assert f"vent {first} " in verdict.problem


def test_actors_who_were_swapped_contradict_the_reviews_too(history: History) -> None:
    swap_actors()
    verdict = prove(with_anchors=False)
    assert re.search(r"Review \d+ of request #\d+ names another reviewer than event \d+\.", verdict.problem)
    assert verdict.first_bad == number_of(Action.REVIEW_APPROVED)


def test_who_was_pseudonymised_or_renamed_is_no_fault_but_bringing_the_name_back_is(
    history: History, ada: User
) -> None:
    remy, rosa = named("Remy Ortiz"), named("Rosa Lind")
    for name in ("Rosa Lindt", "Rosa Lind"):
        rosa.name = name
        rosa.save()
    administration.pseudonymise(remy, reason="Left.", by=ada)
    assert prove().problem == ""
    User.objects.filter(pk=remy.pk).update(name="Remy Ortiz", pseudonymised_at=None)
    assert f"Person {remy.pk} was pseudonymised, but is called “Remy Ortiz”. Event " in prove().problem


def test_the_people_cost_the_same_however_many_events_they_wrote(history: History) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert prove().problem == ""
        return sum("approvals_identity" in each["sql"] for each in queries)

    before = cost()
    for number in range(30):
        workflow.comment(history.requests[0], by=named("Rita Sanz"), body=f"{number}: ask Remy at remy@example.com.")
    assert cost() == before


def test_exports_with_tokens_are_verified_alone_with_and_without_the_names(history: History, tmp_path: Path) -> None:
    workflow.comment(history.requests[0], by=named("Rita Sanz"), body="=Ask rosa@example.com, 'or' \"Remy\"\n")
    as_csv, as_json = (ledger_history.export(tmp_path, ending=ending) for ending in ("csv", "jsonl"))
    assert "Remy Ortiz <remy@example.com>" in as_csv.read_text(encoding="utf-8")
    assert "remy@example.com" not in as_json.read_text(encoding="utf-8")
    with as_csv.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][-3:] == ["hash", "actor_name", "names"]
    assert all("⟨person " in row[4] for row in rows[1:] if row[3])
    without, other = tmp_path / "without.csv", tmp_path / "other.csv"
    with without.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(row[:-2] for row in rows)
    with other.open("w", encoding="utf-8", newline="") as file:  # the names are beside the hash, and the README says so
        csv.writer(file).writerows([rows[0], *([*row[:-2], "Mallory", "{}"] for row in rows[1:])])
    for path in (as_csv, as_json, without, other):
        code, said = run_verifier(path, "--head", ledger.head(), "--complete")
        assert (code, f"{len(rows) - 1} events, from 1 to" in said) == (0, True), said
    rita, remy = (Identity.objects.get(label__startswith=who).token for who in ("Rita", "Remy"))
    for path in (as_csv, as_json):
        path.write_text(path.read_text(encoding="utf-8").replace(rita, remy, 1), encoding="utf-8")
        code, said = run_verifier(path)
        assert (code, "Event 1 was altered" in said) == (1, True), said


# --- What nobody made


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
