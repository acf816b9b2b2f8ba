"""The history: filters, pages by cursor, what a row shows, tampering, and the export."""

import csv
import io
import json
import random
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from approvals import ledger, workflow
from approvals.evidence import canonical
from approvals.ledger import recording
from approvals.models import Action, AuditEvent, PromotionRequest, Target, event_types
from approvals.selectors import history
from tests.approvals.ledger import tampering
from tests.support.factories import make_commenter, make_person, make_request, make_version

pytestmark = pytest.mark.django_db
URL = "/history/"
EXPORT = "/history/export.csv"


def append(number: int = 1, *, actor: User | None = None, **fields: Any) -> list[AuditEvent]:
    with transaction.atomic():
        return [
            ledger.record(
                fields.pop("action", Action.GROUP_CREATED) if index == 0 else Action.GROUP_CREATED,
                actor=actor,
                correlation_id=uuid.uuid4(),
                data={"group": f"g{index}"},
                **fields,
            )
            for index in range(number)
        ]


def at(moment: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded from now on has this time."""
    locked = recording.locked_head
    monkeypatch.setattr(recording, "locked_head", lambda: (locked()[0], moment))


@pytest.fixture
def asked(rita: User, production: Target) -> PromotionRequest:
    return make_request(make_version("churn_predictor", 7), production, by=rita, justification="AUC rose to 0.893.")


@pytest.fixture
def auditor(client: Client, vera: User) -> Client:
    client.force_login(vera)
    return client


def shown(response: Any) -> list[int]:
    return [row.event.sequence for row in response.context["rows"]]


# --- The list ---------------------------------------------------------------------------------------------------------


def test_an_event_is_one_sentence_with_who_when_and_where(auditor: Client, asked: PromotionRequest) -> None:
    page = auditor.get(URL).content.decode()
    event = AuditEvent.objects.get(action=Action.REQUEST_CREATED)
    assert re.search(r"Rita Sanz</strong> requested churn_predictor version 7 for Production\.", page)
    assert "AUC rose to 0.893." in page
    assert f'title="{event.at:%Y-%m-%d %H:%M:%S} UTC"' in page
    for link in (asked.get_absolute_url(), asked.version.get_absolute_url(), event.get_absolute_url()):
        assert f'href="{link}"' in page
    assert event.hash in page
    assert event.previous_hash in page
    assert "Rule · slots · 1 · approvals" in page


def test_newest_comes_first_and_cursors_walk_everything_once(auditor: Client) -> None:
    append(120)
    seen: list[int] = []
    address = URL
    for expected in (50, 50, 20):
        response = auditor.get(address)
        assert len(shown(response)) == expected
        assert response.context["page"].total == 120
        seen += shown(response)
        address = f"{URL}?before={response.context['page'].older}"
    assert seen == list(range(120, 0, -1))
    assert response.context["page"].older is None

    back = auditor.get(f"{URL}?after={response.context['page'].newer}")
    assert shown(back) == list(range(70, 20, -1))
    first = auditor.get(f"{URL}?after={back.context['page'].newer}")
    assert shown(first) == list(range(120, 70, -1))
    assert first.context["page"].newer is None


def test_the_oldest_are_one_step_away(auditor: Client) -> None:
    append(120)
    oldest = auditor.get(f"{URL}?after=0")
    assert shown(oldest) == list(range(50, 0, -1))
    assert (oldest.context["page"].newer, oldest.context["page"].older) == (50, None)
    assert "after=0" in auditor.get(URL).content.decode()
    assert "after=0" not in oldest.content.decode()


def test_how_many_there_are_is_what_the_head_says_and_nothing_is_counted(auditor: Client) -> None:
    append(7)
    with CaptureQueriesContext(connection) as queries:
        answer = auditor.get(URL)
    assert "7 events" in answer.content.decode().replace("\n", " ")
    assert not [each for each in queries if "COUNT" in each["sql"] and AuditEvent._meta.db_table in each["sql"]]


def test_an_event_that_is_written_while_the_page_is_made_is_no_alarm(
    auditor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(3)
    page_of = history.page_of

    def late(*args: Any, **kwargs: Any) -> history.Page:
        append()
        return page_of(*args, **kwargs)

    monkeypatch.setattr(history, "page_of", late)
    answer = auditor.get(URL)
    assert shown(answer) == [4, 3, 2, 1]
    assert answer.context["fault"] == ""


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("many", "words"), [(9, "9 events match"), (10, "10 events match"), (11, "More than 10 events")]
)
def test_matches_beyond_what_is_counted_are_more_than_that(
    auditor: Client, monkeypatch: pytest.MonkeyPatch, many: int, words: str
) -> None:
    monkeypatch.setattr(history, "COUNTED", 10)
    append(many)
    answer = auditor.get(f"{URL}?action=group.created")
    assert words in re.sub(r"\s+", " ", answer.content.decode())
    assert shown(answer) == list(range(many, 0, -1))


def test_a_page_is_filled_up_when_little_is_newer(auditor: Client) -> None:
    append(60)
    assert shown(auditor.get(f"{URL}?after=55")) == list(range(60, 10, -1))


def test_a_cursor_of_nonsense_gives_the_first_page(auditor: Client) -> None:
    append(3)
    assert shown(auditor.get(f"{URL}?before=zzz&after=-4")) == [3, 2, 1]
    assert shown(auditor.get(f"{URL}?before={10**40}")) == [3, 2, 1]


@pytest.fixture
def mixed(asked: PromotionRequest, remy: User, staging: Target, rita: User) -> dict[str, int]:
    """Sequence numbers by name: seven events of two models, three people and the worker."""
    other = make_request(make_version("fraud_detector", 2), staging, by=rita)
    workflow.comment(asked, by=rita, body="Look at segment 3.")
    workflow.review(asked, by=remy, verdict="approve")
    append(
        actor=None,
        action=Action.VERSION_PROMOTED,
        model_name="churn_predictor",
        version_number=6,
        target_name="Production",
    )
    assert other.pk
    return {"asked": 1, "checked": 2, "other": 3, "other checked": 4, "comment": 5, "approved": 6, "promoted": 7}


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["promoted", "approved", "comment", "other checked", "other", "checked", "asked"]),
        ("model=churn_predictor", ["promoted", "approved", "comment", "checked", "asked"]),
        ("model=churn_predictor&version=6", ["promoted"]),
        ("person=worker", ["promoted", "other checked", "checked"]),
        ("person={remy}", ["approved"]),
        ("action=review.approved", ["approved"]),
        ("action=request", ["comment", "other checked", "other", "checked", "asked"]),
        ("target=Production", ["promoted", "approved", "comment", "checked", "asked"]),
        ("target=Staging&action=request", ["other checked", "other"]),
        ("request={request}", ["approved", "comment", "checked", "asked"]),
        ("model=churn_predictor&person={rita}&action=request.commented", ["comment"]),
        ("model=fraud_detector&action=review", []),
    ],
)
def test_filters(auditor: Client, mixed: dict[str, int], asked: PromotionRequest, query: str, names: list[str]) -> None:
    people = {person.get_short_name().lower(): person.pk for person in User.objects.all()}
    response = auditor.get(f"{URL}?{query.format(request=asked.pk, **people)}")
    assert shown(response) == [mixed[name] for name in names]
    assert response.context["page"].total == len(names)


def test_active_filters_are_named_and_can_be_taken_away(auditor: Client, mixed: dict[str, int]) -> None:
    response = auditor.get(f"{URL}?model=churn_predictor&version=7&action=request&before=900")
    assert response.context["active"] == [
        ("Model", "churn_predictor", f"{URL}?action=request"),
        ("Version", "7", f"{URL}?model=churn_predictor&action=request"),
        ("Action", "Requests: all", f"{URL}?model=churn_predictor&version=7"),
    ]
    assert "Clear all filters" in response.content.decode()


def test_an_empty_answer_offers_to_clear_the_filters(auditor: Client, mixed: dict[str, int]) -> None:
    page = auditor.get(f"{URL}?model=fraud_detector&action=review").content.decode()
    assert "No events match." in page
    assert "Clear the filters" in page


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("model=Churn", "model", "No model has this name. Names are case-sensitive."),
        ("version=7", "version", "Enter the model of the version."),
        ("model=churn_predictor&version=seven", "version", "Enter a whole number."),
        ("version=99999999999999999999&model=churn_predictor", "version", "less than or equal to 2147483647"),
        ("request=4711", "request", "There is no request #4711."),
        ("person=nobody", "person", "nobody is not one of the available choices."),
        ("action=drop", "action", "drop is not one of the available choices."),
        ("since=yesterday", "since", "Enter a time such as 2026-11-23 or 2026-11-23T12:04;"),
        ("since=2026-11-24&until=2026-11-23", "until", "The end must be after the start."),
    ],
)
def test_nonsense_is_named_and_shows_no_events(
    auditor: Client, mixed: dict[str, int], query: str, field: str, message: str
) -> None:
    response = auditor.get(f"{URL}?{query}")
    assert response.status_code == 422
    assert message in str(response.context["form"].errors[field])
    assert message in response.content.decode()
    assert shown(response) == []


def test_a_span_of_time_takes_its_last_day_minute_and_second_whole(
    auditor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = [datetime(2026, 11, day, 12, 4, second, tzinfo=UTC) for day in (21, 22, 23) for second in (0, 30)]
    for moment in moments:
        at(moment, monkeypatch)
        append()
    monkeypatch.undo()
    for query, expected in {
        "since=2026-11-22": [6, 5, 4, 3],
        "until=2026-11-22": [4, 3, 2, 1],
        "since=2026-11-22&until=2026-11-22": [4, 3],
        "until=2026-11-22T12:04": [4, 3, 2, 1],
        "until=2026-11-22T12:03": [2, 1],
        "until=2026-11-22T12:04:00": [3, 2, 1],
        "since=2026-11-22T12:04:30&until=2026-11-23T12:04:00": [5, 4],
        "since=2027-01-01": [],
    }.items():
        assert shown(auditor.get(f"{URL}?{query}")) == expected, query


@pytest.mark.each_database
@pytest.mark.parametrize("near", [0, 2, history.NEAR])
def test_a_clock_that_was_set_back_does_not_hide_or_add_events(
    auditor: Client, monkeypatch: pytest.MonkeyPatch, near: int
) -> None:
    monkeypatch.setattr(history, "NEAR", near)
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    for hours in (0, 5, 1, 2, -3, 3):
        at(noon + timedelta(hours=hours), monkeypatch)
        append()
    monkeypatch.undo()
    monkeypatch.setattr(history, "NEAR", near)
    assert shown(auditor.get(f"{URL}?since=2026-11-23T12:30&until=2026-11-23T14:30")) == [4, 3]
    assert shown(auditor.get(f"{URL}?since=2026-11-23T13:30")) == [6, 4, 2]
    assert shown(auditor.get(f"{URL}?until=2026-11-23T11:00")) == [5]


@pytest.mark.each_database
@pytest.mark.parametrize("near", [0, 3, history.NEAR])
@pytest.mark.parametrize("seed", range(3))
def test_a_span_is_the_same_however_it_is_found(monkeypatch: pytest.MonkeyPatch, near: int, seed: int) -> None:
    dice, noon = random.Random(seed), datetime(2026, 11, 23, 12, tzinfo=UTC)
    moments = [noon + timedelta(minutes=number + dice.choice((0, 0, 0, 0, -3 * seed))) for number in range(16)]
    for moment in moments:
        at(moment, monkeypatch)
        append()
    monkeypatch.undo()
    monkeypatch.setattr(history, "NEAR", near)
    ends = [None, *(noon + timedelta(minutes=number) for number in (-9, 0, 1, 7, 14, 15, 40))]
    for since in ends:
        for until in ends:
            found = history.within(AuditEvent.objects.all(), since, until).order_by("sequence")
            assert list(found.values_list("sequence", flat=True)) == [
                number
                for number, moment in enumerate(moments, 1)
                if (since is None or moment >= since) and (until is None or moment < until)
            ]


def test_the_number_of_queries_does_not_grow_with_events(auditor: Client, mixed: dict[str, int], rita: User) -> None:
    few = count_queries(auditor, URL)
    append(40, actor=rita)
    assert len(shown(auditor.get(URL))) == 47
    assert count_queries(auditor, URL) == few


def count_queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


def test_user_text_is_escaped(auditor: Client, asked: PromotionRequest, rita: User) -> None:
    workflow.comment(asked, by=rita, body="<script>alert(1)</script>")
    page = auditor.get(URL).content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


# --- One event --------------------------------------------------------------------------------------------------------


def test_an_event_shows_everything_and_its_neighbours(auditor: Client, mixed: dict[str, int]) -> None:
    response = auditor.get(f"{URL}{mixed['comment']}/")
    page = response.content.decode()
    event = AuditEvent.objects.get(sequence=mixed["comment"])
    assert [(link.is_good, link.words) for link in response.context["links"]] == [
        (True, "It follows from event 4."),
        (True, "Event 6 follows from it."),
    ]
    for text in (
        "Look at segment 3.",
        event.hash,
        event.previous_hash,
        str(event.correlation_id),
        "The hash matches the content.",
    ):
        assert text in page
    assert 'href="/history/4/" rel="prev"' in page
    assert 'href="/history/6/" rel="next"' in page
    assert response.context["record"] == canonical(ledger.as_record(event))


def test_the_first_and_the_last_event_end_the_chain(auditor: Client) -> None:
    append(2)
    first, last = (auditor.get(f"{URL}{number}/").context["links"] for number in (1, 2))
    assert [link.words for link in first] == ["It is the first event.", "Event 2 follows from it."]
    assert [link.words for link in last] == ["It follows from event 1.", "It is the head of the chain."]
    assert all(link.is_good for link in [*first, *last])
    assert auditor.get(f"{URL}3/").status_code == 404


# --- Tampering --------------------------------------------------------------------------------------------------------


def test_an_altered_row_raises_the_alarm_on_every_page_that_shows_it(auditor: Client) -> None:
    append(3)
    tampering.alter(2, actor_label="Somebody else")
    fault = "Event 2 was altered: its hash does not fit its content."
    assert auditor.get(URL).context["fault"] == fault
    response = auditor.get(f"{URL}2/")
    assert response.context["fault"] == fault
    assert "it should be" in response.content.decode()


@pytest.mark.each_database
@pytest.mark.parametrize(
    ("sequence", "fault"),
    [
        (2, "Event 3 does not follow from the one before it."),
        (3, "Event 3 is the last one, but the head of the chain says otherwise."),
    ],
)
def test_a_row_that_was_rewritten_with_a_fitting_hash_is_found(auditor: Client, sequence: int, fault: str) -> None:
    append(3)
    tampering.alter(sequence, actor_label="Somebody else", with_fitting_hash=True)
    assert auditor.get(URL).context["fault"] == fault
    assert "The chain is broken." in auditor.get(URL).content.decode()


def test_a_missing_neighbour_is_named(auditor: Client) -> None:
    append(3)
    tampering.delete(2)
    assert auditor.get(f"{URL}3/").context["links"][0].words == "Event 2 is missing."
    assert auditor.get(f"{URL}1/").context["links"][1].words == "Event 2 is missing."


# --- Who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "page", "export"),
    [
        ("requester", 200, 403),
        ("reviewer", 200, 403),
        ("auditor", 200, 200),
        ("administrator", 200, 200),
        (None, 403, 403),
    ],
)
def test_who_may_read_and_export(client: Client, role: str | None, page: int, export: int) -> None:
    client.force_login(make_person("Nora Berg", role) if role else make_commenter())
    append()
    assert client.get(URL).status_code == page
    assert client.get(f"{URL}1/").status_code == page
    response = client.get(EXPORT)
    assert response.status_code == export
    assert ("Export CSV" in client.get(URL).content.decode()) is (export == 200)
    if export == 403:
        assert "Only auditors and administrators can export the history." in response.content.decode()
        assert not AuditEvent.objects.filter(action=Action.HISTORY_EXPORTED).exists()


def test_a_refused_reader_is_told_why(client: Client) -> None:
    client.force_login(make_commenter())
    assert "need a role to read" in client.get(URL).content.decode()


def test_signed_out_people_are_sent_to_the_sign_in(client: Client) -> None:
    for url in (URL, EXPORT, f"{URL}1/"):
        assert client.get(url).headers["Location"] == f"{reverse('account_login')}?next={url}"


# --- Export -----------------------------------------------------------------------------------------------------------


def exported(client: Client, query: str = "") -> list[dict[str, str]]:
    response: Any = client.get(f"{EXPORT}?{query}")
    assert response.status_code == 200
    assert response.streaming
    return list(csv.DictReader(io.StringIO(response.getvalue().decode(), newline="")))


def test_the_export_carries_every_column_of_the_filtered_rows_oldest_first(
    auditor: Client, mixed: dict[str, int]
) -> None:
    rows = exported(auditor, "model=churn_predictor")
    events = list(AuditEvent.objects.filter(model_name="churn_predictor").order_by("sequence"))
    assert [int(row["sequence"]) for row in rows] == [event.sequence for event in events]
    for row, event in zip(rows, events, strict=True):
        expected = {key: "" if value is None else str(value) for key, value in ledger.as_record(event).items()}
        names = {name: row.pop(name) for name in history.NAMES}
        assert row == expected | {"hash": event.hash}
        assert names["actor_name"] == event.actor_label
        assert json.loads(names["names"]).get(row["actor_label"], "Countersign worker") == event.actor_label


def test_the_export_is_an_event_that_names_its_filters_and_is_not_in_it(auditor: Client, mixed: dict[str, int]) -> None:
    rows = exported(auditor, "action=review&until=2099-01-01")
    event = AuditEvent.objects.get(action=Action.HISTORY_EXPORTED)
    assert event.actor_label == "Vera Holm <vera@example.com>"
    assert event.data == {"filters": {"Action": "Reviews: all", "To": "2099-01-01 UTC"}}
    assert [row["action"] for row in rows] == ["review.approved"]
    assert [row["sequence"] for row in exported(auditor)][-1] == str(event.sequence)


def test_the_event_is_written_before_the_first_line_is_sent(auditor: Client, asked: PromotionRequest) -> None:
    response: Any = auditor.get(EXPORT)
    assert AuditEvent.objects.filter(action=Action.HISTORY_EXPORTED).count() == 1
    assert response.streaming
    assert next(iter(response)).decode() == f"{','.join(history.COLUMNS + history.NAMES)}\r\n"


def test_the_file_has_a_name_with_the_date(auditor: Client) -> None:
    response = auditor.get(EXPORT)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(
        r'attachment; filename="countersign-history-\d{4}-\d\d-\d\d\.csv"', response["Content-Disposition"]
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "'"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert history.guarded(f"{start}1+1") == f"'{start}1+1"


@pytest.mark.parametrize("value", ["plain", "a=b", "", None, 7, -7])
def test_harmless_cells_stay_as_they_are(value: object) -> None:
    assert history.guarded(value) == value


def test_a_name_with_a_formula_is_guarded_and_the_hash_can_still_be_checked(auditor: Client) -> None:
    append(actor=make_person('=HYPERLINK("http://x.example")'))
    append(actor=make_person("'quoted"), allowed_by=["@somebody"])
    rows = exported(auditor)
    assert rows[0]["actor_name"].startswith("'=HYPERLINK")
    assert rows[1]["actor_name"].startswith("''quoted")
    assert rows[1]["allowed_by"] == "'@somebody"
    for row in rows:
        record = {key: value[1:] if value.startswith("'") else value for key, value in row.items()}
        numbers = {
            key: int(record[key]) if record[key] else None
            for key in ("sequence", "actor_id", "version_number", "request_id")
        }
        content = {key: value for key, value in (record | numbers).items() if key != "hash"}
        content["stored_actor"], content["stored_allowed_by"] = content.pop("actor_label"), content.pop("allowed_by")
        content = {key: value for key, value in content.items() if key not in history.NAMES}
        event = AuditEvent(**{**content, "at": datetime.fromisoformat(record["at"]), "hash": ""})
        assert ledger.digest(event) == record["hash"]


def test_the_export_reads_a_few_thousand_rows_at_a_time(django_assert_num_queries: Any) -> None:
    append(5)
    with django_assert_num_queries(0):
        lines = history.csv_lines(AuditEvent.objects.all())
        assert next(lines).startswith("sequence,at,action")
    with django_assert_num_queries(1):
        assert len(list(lines)) == 5


def test_an_export_with_nonsense_in_its_filters_goes_to_the_page_that_says_so(auditor: Client) -> None:
    response = auditor.get(f"{EXPORT}?since=yesterday&before=4")
    assert response.headers["Location"] == f"{URL}?since=yesterday"
    assert not AuditEvent.objects.exists()


def test_every_kind_of_event_can_be_filtered_by() -> None:
    assert {action.kind for action in Action} == set(event_types.KINDS)
