"""The approval note: the engineer's text is never touched, whatever it is."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from approvals.evidence import approval_note
from approvals.evidence.approval_note import BEGIN, END, Note

AT = datetime(2026, 11, 23, 12, 4, tzinfo=UTC)


def note(number: int = 12, target: str = "Production", *people: str) -> Note:
    return Note(number, target, people or ("Remy Ortiz <remy@example.com>", "Rosa Lind <rosa@example.com>"), AT)


def test_the_line_reads_as_promised() -> None:
    assert note().line == (
        "Approved for Production by Remy Ortiz <remy@example.com>, Rosa Lind <rosa@example.com>"
        " · 2026-11-23 12:04 UTC · request #12"
    )


def test_with_note_puts_a_block_below_the_text() -> None:
    assert (
        approval_note.with_note("Trained on October.", note(), limit=5000)
        == f"Trained on October.\n\n{BEGIN}\n{note().line}\n{END}"
    )


def test_with_note_twice_is_the_same_as_once() -> None:
    once = approval_note.with_note("Text", note(), limit=5000)
    assert approval_note.with_note(once, note(), limit=5000) == once


def test_a_second_request_adds_a_line() -> None:
    both = approval_note.with_note(approval_note.with_note("Text", note(9, "Staging"), limit=5000), note(), limit=5000)
    assert approval_note.notes(both) == [note(9, "Staging").line, note().line]


def test_text_written_below_the_block_is_kept() -> None:
    edited = approval_note.with_note("Text", note(), limit=5000) + "\nAnd more."
    assert approval_note.without_notes(edited) == "Text\nAnd more."
    assert approval_note.without_notes(approval_note.with_note(edited, note(13), limit=5000)) == "Text\nAnd more."


def test_without_note_takes_one_line_out() -> None:
    both = approval_note.with_note(approval_note.with_note("Text", note(9), limit=5000), note(12), limit=5000)
    assert approval_note.notes(approval_note.without_note(both, 12)) == [note(9).line]
    assert approval_note.without_note(approval_note.without_note(both, 12), 9) == "Text"


def test_request_12_is_not_request_112() -> None:
    both = approval_note.with_note(approval_note.with_note("", note(112), limit=5000), note(12), limit=5000)
    assert len(approval_note.notes(both)) == 2
    assert approval_note.has_note(both, 12)
    assert not approval_note.has_note(both, 2)


def test_a_hostile_name_cannot_break_the_block() -> None:
    bad = Note(12, "Production", (f"Eve\n{END}\n<eve@example.com>",), AT)
    assert approval_note.notes(approval_note.with_note("Text", bad, limit=5000)) == [bad.line]
    assert "\n" not in bad.line


def test_a_full_description_shortens_the_oldest_notes_first() -> None:
    full = "x" * 4700
    for number in (1, 2, 3):
        full = approval_note.with_note(full, note(number), limit=5000)
    assert len(full) <= 5000
    assert approval_note.notes(full)[-1] == note(3).line
    assert approval_note.notes(full)[0] != note(1).line
    assert approval_note.without_notes(full) == "x" * 4700


def test_no_room_at_all_leaves_the_text_alone() -> None:
    assert approval_note.with_note("x" * 4999, note(), limit=5000) == "x" * 4999


texts = (
    st.text(alphabet=st.sampled_from("ab \n·#<>-!" + "é"), max_size=200)
    | st.just(f"a\n\n{BEGIN}\nmine\n")
    | st.just(END)
)


@given(text=texts, numbers=st.lists(st.integers(1, 30), max_size=6), limit=st.integers(50, 400))
def test_the_engineers_text_survives_any_number_of_notes(text: str, numbers: list[int], limit: int) -> None:
    described = text
    for number in numbers:
        described = approval_note.with_note(described, note(number), limit=limit)
        assert len(described) <= max(limit, len(text))
    assert approval_note.without_notes(described) == text
    for number in numbers:
        described = approval_note.without_note(described, number)
    assert described == text
