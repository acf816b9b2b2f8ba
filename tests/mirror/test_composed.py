"""Queries that are composed once: their answers are new each time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.models import F, Q, QuerySet, Value

from accounts.models import User
from approvals.models import PromotionRequest, Target
from approvals.selectors import inbox, queue_numbers
from mirror import composed
from tests.support.factories import make_request, make_version


def _named(name: str) -> QuerySet[Any, Any]:
    return User.objects.filter(name=name).order_by("pk").values(number=F("pk"), one=Value(1))


def test_the_answer_is_new_each_time_and_the_facts_make_the_query(django_assert_num_queries: Any, db: None) -> None:
    assert composed.rows(_named, "Ada") == []
    assert composed.sums(_named, "Ada") == (0, 0)
    people = [User.objects.create_user(f"ada{number}@example.com", name="Ada").pk for number in range(2)]
    assert composed.tally(_named, "Ada") == {1: 2}, "two people, by the one of each"
    assert composed.tally(_named, "Bob")[1] == 0
    with django_assert_num_queries(3):
        assert composed.rows(_named, "Ada") == [(pk, 1) for pk in people]
        assert composed.sums(_named, "Ada") == (sum(people), 2)
        assert composed.rows(_named, "Bob") == []


@pytest.mark.django_db
def test_nothing_is_asked_where_no_row_can_be_meant(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert composed.rows(lambda: User.objects.none().values_list("pk")) == []
        assert composed.sums(lambda: User.objects.none().values(one=Value(1), two=Value(1))) == (0, 0)
        assert composed.tally(lambda: User.objects.none().values(one=Value(1))) == {}


def _asked(request: int) -> QuerySet[Any, Any]:
    return PromotionRequest.objects.with_subject().annotate(one=Value(1)).filter(pk=request)


def _of(people: tuple[int, ...], name: str) -> QuerySet[Any, Any]:
    return User.objects.filter(pk__in=people, name=name).prefetch_related("groups").order_by("pk")


def test_objects_are_what_the_query_finds_each_time(
    rita: User, remy: User, production: Target, django_assert_num_queries: Any
) -> None:
    first, second = (make_request(make_version(model=name), production, by=rita) for name in ("one", "two"))
    composed.objects(_asked, first.pk)
    for asked in (first, second):
        with django_assert_num_queries(1):
            (found,) = composed.objects(_asked, asked.pk)
            assert (found.pk, found.one, found.version.model.name) == (asked.pk, 1, asked.version.model.name)
            assert (found.requester, found.created_at, found.rule) == (rita, asked.created_at, asked.rule)
    PromotionRequest.objects.filter(pk=second.pk).update(justification="Another.")
    assert composed.objects(_asked, second.pk)[0].justification == "Another."
    assert composed.objects(_asked, 0) == []


def test_facts_are_numbers_and_texts_and_some_of_them(rita: User, remy: User) -> None:
    for people in ((rita.pk,), (rita.pk, remy.pk), (remy.pk, rita.pk), ()):
        for name in (rita.name, remy.name, "%s o'"):
            assert composed.objects(_of, people, name) == list(_of(people, name))
    assert composed.objects(lambda position: Target.objects.filter(position=position), 20_000) == []  # a narrow column
    (found,) = composed.objects(_of, (rita.pk,), rita.name)
    assert {group.name for group in found.groups.all()} == set(rita.group_names)


def test_some_of_any_number_are_asked_for_with_few_queries_composed(rita: User, remy: User, rosa: User) -> None:
    def these(people: tuple[int, ...], names: tuple[str, ...]) -> QuerySet[User]:
        found: QuerySet[User] = User.objects.filter(Q(pk__in=people) | Q(name__in=names)).order_by("pk")
        return found

    composed._shape.cache_clear()
    everybody = [rita.pk, remy.pk, rosa.pk]
    for count in range(4):
        assert [each.pk for each in composed.among(these, everybody[:count], ())] == everybody[:count]
    assert composed._shape.cache_info().currsize == 4, "of none, of one, of two, and of up to four"
    assert composed.among(these, everybody[:1], {"Remy Ortiz"}) == [rita, remy]
    assert composed.among(these, range(10**9, 10**9 + composed.MOST + 1), {"Remy Ortiz"}) == [remy]
    assert composed._shape.cache_info().currsize == 5


def test_times_are_facts(rita: User) -> None:
    def since(time: datetime) -> QuerySet[User]:
        found: QuerySet[User] = User.objects.filter(joined_at__gte=time)
        return found

    for time in (rita.joined_at, rita.joined_at + timedelta(microseconds=1)):
        assert composed.objects(since, time) == list(since(time))
    assert composed.objects(since, rita.joined_at) == [rita]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite locks no rows.")
def test_rows_are_locked_in_a_transaction_alone(committed: None) -> None:
    def locked(person: int) -> QuerySet[User]:
        found: QuerySet[User] = User.objects.select_for_update().filter(pk=person)
        return found

    with transaction.atomic():
        assert composed.objects(locked, 0) == []
    with pytest.raises(transaction.TransactionManagementError):
        composed.objects(locked, 0)


def test_a_fact_that_is_lost_or_changed_on_its_way_is_refused(db: None) -> None:
    with pytest.raises(ValueError, match="reaches the query"):
        composed.objects(lambda name: User.objects.filter(name__contains=name), "rita")
    with pytest.raises(ValueError, match="reaches the query"):
        composed.objects(lambda _: User.objects.all(), 1)
    with pytest.raises(ValueError, match="a number, a text or a time"):
        composed.objects(lambda is_active: User.objects.filter(is_active=is_active), True)


def test_each_thread_asks_on_its_own_connection(rita: User) -> None:
    composed.objects(_of, (rita.pk,), rita.name)
    shape = composed._shape(_of, (int, 1), (str, None))
    assert shape is not None

    def own() -> bool:
        return shape.found_for(((rita.pk,), rita.name)).query.get_compiler().connection is connections["default"]

    with ThreadPoolExecutor(max_workers=1) as pool:
        assert own()
        assert pool.submit(own).result()


def test_what_waits_follows_the_roles_of_the_person(rita: User, remy: User, production: Target) -> None:
    asked = make_request(make_version(), production, by=rita)
    assert inbox.waiting_count(remy) == inbox.tab("waiting", remy).count() == 1
    assert queue_numbers.of(remy, inbox.Wanted()).requests == [asked.pk]
    PromotionRequest.objects.filter(pk=asked.pk).update(waits_for="|risk|")
    assert inbox.waiting_count(remy) == 0
    PromotionRequest.objects.filter(pk=asked.pk).update(waits_for="|*|")
    remy.groups.clear()
    again = User.objects.get(pk=remy.pk)
    assert inbox.waiting_count(again) == 0
    assert queue_numbers.of(again, inbox.Wanted()).requests == []


def test_the_first_rows_of_a_tab_are_its_rows(rita: User, remy: User, vera: User, production: Target) -> None:
    for number in range(3):
        make_request(make_version(f"model_{2 - number}"), production, by=rita)
    returned = PromotionRequest.objects.latest("pk")
    PromotionRequest.objects.filter(pk=returned.pk).update(status="changes_requested")
    shown = set()
    for person in (rita, remy, vera):
        for name in ("waiting", "others"):
            for sort in inbox.SORTS:
                rows = inbox.for_list(inbox.ordered(inbox.tab(name, person), sort, name))[:2]
                assert inbox.first_rows(name, person, sort, 2) == list(rows)
                shown.add((person.name, name, len(rows)))
    assert len(shown) == 6
