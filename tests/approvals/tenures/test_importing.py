"""Earlier history from a CSV file: every refusal with its reason, what is stored, the page and the command."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from approvals import administration, ledger, tenures
from approvals.models import Action, AuditEvent, Target, Tenure
from approvals.tenures import as_of, importing
from approvals.tenures.importing import BadFile
from approvals.workflow import Invalid, NotAllowed
from tests.support.factories import make_version
from tests.support.pages import text_of

pytestmark = pytest.mark.django_db
HEADER = "model,version,target,from,until,requested_by,approved_by,note"
GOOD = f"""{HEADER}
churn,1,Production,2025-01-01,2025-02-01,Jo Early,Sam Old,Ticket 12
churn,2,Production,2025-02-01T00:00Z,2025-03-01T12:30+01:00,,,
fraud,1,Staging,2025-01-01,2025-06-01,,,
"""
FIRST_LOOK = datetime(2026, 1, 1, 12, tzinfo=UTC)


def reasons(text: str) -> list[str]:
    return [row.reason for row in importing.check(text.encode()).rows]


def one(row: str) -> str:
    (reason,) = reasons(f"{HEADER}\n{row}\n")
    return reason


def store(text: str, by: User | None = None) -> administration.Imported:
    content = text.encode()
    return administration.import_history(content, file="old.csv", confirmed=importing.digest(content), by=by)


def found(number: int, target: Target, at: datetime = FIRST_LOOK, *, model: str = "churn") -> None:
    """On the first look of the watch."""
    for place in tenures.places_of(target):
        tenures.begin(model_name=model, number=number, target=target, place=place, at=at, origin=Tenure.Origin.FOUND)


# --- The file


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "The file is empty."),
        (b"\n\n", "The file is empty."),
        (HEADER.encode(), "The file has a header and no rows."),
        (b"model,version,from\nx,1,2025-01-01", "The first line has no column target."),
        (b"model,version,target,from,size\n", "The first line has a column 'size'."),
        (b"model,version,target,from,From\n", "The first line has a column twice."),
        (f"{HEADER}\nch\xfcrn,1".encode("latin-1"), "The file is not UTF-8."),
        (f"{HEADER}\nchurn\x00,1".encode(), "NUL characters"),
        (f'{HEADER}\n"churn,1'.encode(), "Line 2 is not CSV: unexpected end of data."),
        (f"{HEADER}\na,1,P,2025-01-01,,,,,extra".encode(), "Line 2 has more cells than the header has columns."),
        (f"{HEADER}\n".encode() + b"x" * importing.LARGEST, "The file is larger than 5 MB."),
        (f"{HEADER}\n".encode() + b"x\n" * (importing.MOST_ROWS + 1), "The file has more than 20,000 rows."),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_as_a_whole(content: bytes, words: str) -> None:
    with pytest.raises(BadFile) as error:
        importing.check(content)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\ufeff" + GOOD,
        GOOD.replace(",", ";"),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("model,version", "Model , VERSION").replace("requested_by", "Requested by"),
        GOOD.replace("\nfraud", "\n,,,\n\nfraud"),
        GOOD.replace("Ticket 12", '"Ticket 12,\nsecond line"'),
    ],
    ids=["plain", "bom", "semicolons", "crlf", "capitals", "empty rows", "quoted"],
)
def test_what_spreadsheets_write_is_understood(text: str) -> None:
    assert reasons(text) == ["", "", ""]


def test_lines_are_counted_as_an_editor_does() -> None:
    checked = importing.check(GOOD.replace("Ticket 12", '"a\nb"').encode())
    assert [row.line for row in checked.rows] == [2, 4, 5]


# --- One row


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (",1,Production,2025-01-01,2025-02-01", "The model is missing."),
        (f"{'x' * 257},1,Production,2025-01-01,2025-02-01", "model is longer than 256 characters."),
        (f"churn,1,Production,2025-01-01,2025-02-01,{'x' * 401}", "requested_by is longer than 400 characters."),
        ("churn,one,Production,2025-01-01,2025-02-01", "The version is not a number."),
        ("churn,,Production,2025-01-01,2025-02-01", "The version is not a number."),
        ("churn,0,Production,2025-01-01,2025-02-01", "There is no such version number."),
        ("churn,2147483648,Production,2025-01-01,2025-02-01", "There is no such version number."),
        ("churn,1,production,2025-01-01,2025-02-01", "There is no target 'production'."),
        ("churn,1,,2025-01-01,2025-02-01", "The target is missing."),
        ("churn,1,Production,,2025-02-01", "“from” is missing."),
        ("churn,1", "The target is missing."),
        ("churn,1,Production,01.02.2025,2025-02-01", "“from” is not a time: 01.02.2025."),
        ("churn,1,Production,2025-02-30,2025-03-01", "“from” is not a time: 2025-02-30."),
        ("churn,1,Production,2025-01-01,soon", "“until” is not a time: soon."),
        ("churn,1,Production,0001-01-01T00:00+14:00,2025-01-01", "“from” is not a time: 0001-01-01T00:00+14:00."),
        ("churn,1,Production,2999-01-01,2999-02-01", "“from” lies in the future."),
        ("churn,1,Production,2025-01-01,2999-02-01", "“until” lies in the future."),
        ("churn,1,Production,2025-02-01,2025-01-01", "“until” is not after “from”."),
        ("churn,1,Production,2025-02-01,2025-02-01", "“until” is not after “from”."),
        (
            "churn,1,Production,2025-02-01,",
            "“until” is empty, which only fits a version that Countersign found in this target on its first look.",
        ),
    ],
)
def test_a_row_that_says_nonsense_is_refused_with_the_reason(row: str, words: str) -> None:
    assert one(row) == words


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("churn,1,Production,2025-01-01,2025-02-01", "It says the same as line 2."),
        ("churn,2,Production,2025-01-31,2025-03-01", "Production is held by version 1 then, says line 2"),
        ("churn,2,Production,2024-01-01,2026-01-01", "Production is held by version 1 then, says line 2"),
        ("churn,2,Production,2025-01-10,2025-01-11", "Production is held by version 1 then, says line 2"),
        ("churn,1,Production,2025-01-10,2025-01-11", "Production is held by this very version then, says line 2"),
        ("churn,2,Production,2025-02-01,2025-03-01", ""),
        ("churn,2,Production,2024-12-01,2025-01-01", ""),
        ("fraud,2,Production,2025-01-01,2025-02-01", ""),
        ("churn,1,Staging,2025-01-01,2025-02-01", ""),
    ],
)
def test_of_two_rows_that_do_not_go_together_the_first_is_accepted(second: str, words: str) -> None:
    first, other = reasons(f"{HEADER}\nchurn,1,Production,2025-01-01,2025-02-01\n{second}\n")
    assert first == ""
    assert other == words if not words else other.startswith(words)


def test_several_versions_share_a_stage_that_does_not_archive() -> None:
    rows = [f"churn,{number},Staging,2025-01-0{day},2025-02-01" for number, day in ((1, 1), (2, 1), (1, 3))]
    assert [bool(reason) for reason in reasons("\n".join([HEADER, *rows]))] == [False, False, True]


def test_a_row_reaches_up_to_the_gates_own_record_and_no_further(production: Target) -> None:
    tenures.begin(
        model_name="churn",
        number=5,
        target=production,
        place="@champion",
        at=FIRST_LOOK,
        origin=Tenure.Origin.DELIVERY,
    )
    beyond = "Countersign's own record of @champion begins at 2026-01-01 12:00:00 UTC; a row may reach up to then."
    assert one("churn,1,Production,2025-01-01,2026-01-01T12:00:00") == ""
    assert one("churn,1,Production,2025-01-01,2026-01-01T12:00:01") == beyond
    assert one("churn,1,Production,2026-01-02,2026-01-03") == beyond
    assert one("fraud,1,Production,2026-01-02,2026-01-03") == ""


def test_an_open_end_leads_up_to_what_was_found(production: Target) -> None:
    found(6, production)
    assert one("churn,5,Production,2025-01-01,").startswith("“until” is empty")
    assert one("churn,6,Production,2026-01-02,").startswith("Countersign's own record of Production begins at")
    assert store(f"{HEADER}\nchurn,6,Production,2025-01-01,\n").tenures == 2
    imported = Tenure.objects.filter(origin="imported")
    assert {(row.place, row.ended_at, row.end) for row in imported} == {
        ("Production", FIRST_LOOK, "imported"),
        ("@champion", FIRST_LOOK, "imported"),
    }
    assert tenures.holders("churn", production, "Production") == [6]
    (model,) = as_of.models(as_of.Question(FIRST_LOOK - timedelta(days=1)), ["churn"])
    assert model.targets[0][1][0].tenure.origin == "imported"


def test_an_open_end_only_counts_for_the_places_that_were_found(production: Target) -> None:
    tenures.begin(
        model_name="churn", number=6, target=production, place="Production", at=FIRST_LOOK, origin=Tenure.Origin.FOUND
    )
    assert store(f"{HEADER}\nchurn,6,Production,2025-01-01,\n").tenures == 1


# --- Storing


def test_an_import_is_told_in_the_ledger_and_marked_for_ever(ada: User, production: Target) -> None:
    assert store(GOOD, ada) == administration.Imported(accepted=3, refused=0, tenures=5)
    event = AuditEvent.objects.get(action=Action.HISTORY_IMPORTED)
    assert event.actor == ada
    assert event.data["rows"][0] == {
        "line": 2,
        "model": "churn",
        "version": "1",
        "target": "Production",
        "from": "2025-01-01",
        "until": "2025-02-01",
        "requested_by": "Jo Early",
        "approved_by": "Sam Old",
        "note": "Ticket 12",
    }
    told = {key: event.data[key] for key in ("count", "file", "sha256", "accepted", "refused", "part", "parts")}
    assert told == {
        "count": 3,
        "file": "old.csv",
        "sha256": importing.digest(GOOD.encode()),
        "accepted": 3,
        "refused": 0,
        "part": 1,
        "parts": 1,
    }
    first = Tenure.objects.get(model_name="churn", version_number=1, place="@champion")
    assert (first.origin, first.end, first.start_sequence, first.end_sequence) == (
        "imported",
        "imported",
        event.sequence,
        event.sequence,
    )
    assert (first.requested_by, first.approved_by, first.note) == ("Jo Early", "Sam Old", "Ticket 12")
    second = Tenure.objects.get(model_name="churn", version_number=2, place="Production")
    assert second.ended_at == datetime(2025, 3, 1, 11, 30, tzinfo=UTC)
    assert ledger.verify().is_intact


def test_the_same_file_again_is_refused_row_by_row(ada: User) -> None:
    store(GOOD, ada)
    assert reasons(GOOD) == ["It is there already: imported before."] * 3
    with pytest.raises(Invalid, match="No row was accepted"):
        store(GOOD, ada)
    assert "a tenure that was imported before" in one("churn,9,Production,2025-01-10,2025-01-12")


def test_only_the_file_that_was_looked_at_is_stored(ada: User) -> None:
    with pytest.raises(Invalid, match="not the file that was previewed"):
        administration.import_history(GOOD.encode(), file="x.csv", confirmed="0" * 64, by=ada)
    assert not Tenure.objects.exists()
    assert not AuditEvent.objects.exists()


def test_only_administrators_import(rita: User, remy: User, vera: User) -> None:
    for person in (rita, remy, vera):
        with pytest.raises(NotAllowed, match="Only administrators can import earlier history"):
            store(GOOD, person)
    assert not Tenure.objects.exists()


def test_a_long_file_takes_several_events_and_few_queries(production: Target) -> None:
    day = datetime(2020, 1, 1, tzinfo=UTC)
    rows = [
        f"churn,{number},Production,{day + timedelta(hours=number):%Y-%m-%dT%H:%M},"
        f"{day + timedelta(hours=number + 1):%Y-%m-%dT%H:%M}"
        for number in range(1, 1202)
    ]
    with CaptureQueriesContext(connection) as queries:
        checked = importing.check("\n".join([HEADER, *rows]).encode())
    assert len(checked.accepted) == 1201
    assert len(queries) <= 3
    store("\n".join([HEADER, *rows]))
    events = AuditEvent.objects.filter(action=Action.HISTORY_IMPORTED).order_by("sequence")
    assert [(event.data["count"], event.data["part"]) for event in events] == [(500, 1), (500, 2), (201, 3)]
    last = Tenure.objects.get(version_number=1201, place="Production")
    assert last.start_sequence == events[2].sequence


# --- The page


@pytest.fixture
def send(client: Client, ada: User) -> Callable[..., Any]:
    client.force_login(ada)

    def sent(text: str, **options: Any) -> Any:
        return client.post("/history/import/", {"file": SimpleUploadedFile("old.csv", text.encode())}, **options)

    return sent


def test_the_page_shows_verdicts_first_and_stores_after_confirmation(
    client: Client, send: Callable[..., Any], production: Target
) -> None:
    text = GOOD + "churn,3,Nowhere,2025-01-01,2025-02-01\n"
    answer = send(text, follow=True)
    words = text_of(answer.content.decode())
    assert "All 4 Accepted 3 Refused 1" in words
    assert "There is no target 'Nowhere'." in words
    assert not Tenure.objects.exists()
    digest = importing.digest(text.encode())
    refused = text_of(client.get(f"/history/import/?file={digest}&show=refused").content.decode())
    assert "Refused There is no target 'Nowhere'." in refused
    assert "fraud" not in refused
    answer = client.post("/history/import/confirm/", {"confirmed": digest}, follow=True)
    words = text_of(answer.content.decode())
    assert "3 rows imported. 1 was refused." in words
    assert "imported 3 rows of earlier history" in words
    assert Tenure.objects.count() == 5
    again = client.post("/history/import/confirm/", {"confirmed": digest}, follow=True)
    assert "The upload has expired." in again.content.decode()
    assert Tenure.objects.count() == 5


def test_another_file_than_the_last_one_sent_is_not_confirmed(client: Client, send: Callable[..., Any]) -> None:
    send(GOOD)
    send(GOOD.replace("fraud", "risk"))
    client.post("/history/import/confirm/", {"confirmed": importing.digest(GOOD.encode())})
    assert not Tenure.objects.exists()


@pytest.mark.parametrize("text", ["", "nothing"])
def test_a_bad_file_is_told_at_the_field(send: Callable[..., Any], text: str) -> None:
    answer = send(text)
    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()


def test_rows_are_shown_by_the_page(client: Client, send: Callable[..., Any]) -> None:
    rows = [f"model_{number:03},1,Production,2025-01-01,2025-02-01" for number in range(120)]
    html = send("\n".join([HEADER, *rows]), follow=True).content.decode()
    assert html.count("<tr data-item>") == 50
    assert "1–50 of 120 rows" in text_of(html)


def test_imported_rows_are_marked_on_the_pages(client: Client, vera: User, production: Target) -> None:
    make_version("churn", 1)
    store(GOOD)
    client.force_login(vera)
    page = text_of(client.get("/history/at/?at=2025-01-15").content.decode())
    assert "Imported from earlier records: requested by Jo Early and approved by Sam Old. “Ticket 12”" in page
    assert "Imported from earlier records" in client.get("/models/churn/").content.decode()


# --- The command


def run(*words: str) -> tuple[str, str, int]:
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        call_command("import_history", *words, stdout=out, stderr=err)
    except CommandError as error:
        err.write(str(error))
        code = error.returncode
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    return out.getvalue(), err.getvalue(), code


def test_the_command_tries_then_imports(tmp_path: Path, ada: User) -> None:
    file = tmp_path / "old.csv"
    file.write_text(GOOD)
    out, _, code = run(str(file), "--dry-run")
    assert (code, Tenure.objects.count()) == (0, 0)
    assert "3 accepted, 0 refused. Nothing was stored." in out
    out, _, code = run(str(file), "--by", "ADA@example.com")
    assert (code, Tenure.objects.count()) == (0, 5)
    assert AuditEvent.objects.get(action=Action.HISTORY_IMPORTED).actor == ada
    _, err, code = run(str(file))
    assert code == 2
    assert "Line 2: It is there already: imported before." in err


def test_the_command_says_what_it_left_out(tmp_path: Path) -> None:
    file = tmp_path / "old.csv"
    file.write_text(GOOD + "churn,3,Nowhere,2025-01-01,2025-02-01\n")
    assert run(str(file), "--dry-run")[2] == 3
    _, err, code = run(str(file))
    assert (code, Tenure.objects.count()) == (3, 5)
    assert err == "Line 5: There is no target 'Nowhere'.\n"
    assert AuditEvent.objects.get(action=Action.HISTORY_IMPORTED).actor_label == "Countersign command line"


def test_the_command_refuses_what_it_cannot_do(tmp_path: Path, rita: User) -> None:
    assert run(str(tmp_path / "none.csv"))[1:] == (
        f"{tmp_path / 'none.csv'} cannot be read: No such file or directory.",
        2,
    )
    file = tmp_path / "old.csv"
    file.write_text("")
    assert run(str(file))[1:] == ("The file is empty.", 2)
    file.write_text(GOOD)
    assert run(str(file), "--by", "nobody@example.com")[2] == 2
    assert run(str(file), "--by", "rita@example.com")[1:] == ("Only administrators can import earlier history.", 2)
    assert not Tenure.objects.exists()
