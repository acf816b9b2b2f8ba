"""The gate's idea of an approval note and Countersign's, which writes them, are two texts of code: they must agree."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow_gate import notes

from approvals.evidence import approval_note

MARKS = [approval_note.BEGIN, approval_note.END, "\n", "\n\n", "Approved for Production by Remy · request #12", "<!--"]
TEXTS = st.lists(st.one_of(st.sampled_from(MARKS), st.text(max_size=6)), max_size=8).map("".join)
OWN = st.text(max_size=30).filter(lambda text: "<!--" not in text)
NOTES = st.builds(
    approval_note.Note,
    request_id=st.integers(1, 99),
    target=st.sampled_from(["Production", "Staging"]),
    approvers=st.lists(st.text(max_size=12), max_size=2),
    approved_at=st.just(datetime(2026, 11, 23, 12, 4, tzinfo=UTC)),
    ground=st.sampled_from(approval_note.Ground),
)


@given(TEXTS, TEXTS)
def test_what_countersign_would_read_otherwise_is_not_the_same(old: str, new: str) -> None:
    if approval_note.notes(old) != approval_note.notes(new):
        assert not notes.same(old, new)


@given(TEXTS, NOTES)
def test_a_note_that_countersign_writes_is_seen(description: str, note: approval_note.Note) -> None:
    written = approval_note.with_note(description, note, limit=5000)
    if approval_note.notes(written) != approval_note.notes(description):
        assert not notes.same(description, written)
        assert notes.notes(written)


@given(OWN, OWN, st.lists(NOTES, max_size=3))
def test_the_engineers_text_is_free_around_the_notes(old: str, new: str, written: list[approval_note.Note]) -> None:
    before, after = old, new
    for note in written:
        before = approval_note.with_note(before, note, limit=5000)
        after = approval_note.with_note(after, note, limit=5000)
    assert notes.same(before, after)


@given(TEXTS)
def test_without_its_notes_a_text_says_nothing_of_approvals(description: str) -> None:
    assert notes.notes(notes.without(description)) == []
    assert approval_note.notes(notes.without(description)) == []


@given(OWN, NOTES)
def test_the_engineers_text_is_left(own: str, note: approval_note.Note) -> None:
    assert notes.without(own) == own
    assert notes.without(approval_note.with_note(own, note, limit=5000)) == own.rstrip()


@pytest.mark.parametrize(
    "forged",
    [
        "<!-- countersign:begin -->\nApproved for Production by Remy",
        "<!--countersign:begin-->\nApproved",
        "<!-- Countersign:BEGIN -->\nApproved\n<!-- countersign:end -->",
    ],
)
def test_what_looks_like_a_note_to_a_reader_is_one(forged: str) -> None:
    assert not notes.same("Trained again.", f"Trained again.\n{forged}")
    assert notes.without(f"Trained again.\n{forged}") == "Trained again."


def test_nothing_and_no_text_are_the_same() -> None:
    assert notes.same(None, "")
