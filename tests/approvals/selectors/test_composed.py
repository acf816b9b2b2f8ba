"""Queries that are composed once: their answers are new each time."""

from typing import Any

import pytest
from django.db.models import F, QuerySet, Value

from accounts.models import User
from approvals.models import PromotionRequest, Target
from approvals.selectors import composed, inbox, queue_numbers
from tests.support.factories import make_request, make_version


def _named(name: str) -> QuerySet[Any, Any]:
    return User.objects.filter(name=name).order_by("pk").values(number=F("pk"), one=Value(1))


def test_the_answer_is_new_each_time_and_the_facts_make_the_query(django_assert_num_queries: Any, db: None) -> None:
    assert composed.rows(_named, "Ada") == []
    assert composed.sums(_named, "Ada") == (0, 0)
    people = [User.objects.create_user(f"ada{number}@example.com", name="Ada").pk for number in range(2)]
    with django_assert_num_queries(3):
        assert composed.rows(_named, "Ada") == [(pk, 1) for pk in people]
        assert composed.sums(_named, "Ada") == (sum(people), 2)
        assert composed.rows(_named, "Bob") == []


@pytest.mark.django_db
def test_nothing_is_asked_where_no_row_can_be_meant(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert composed.rows(lambda: User.objects.none().values_list("pk")) == []
        assert composed.sums(lambda: User.objects.none().values(one=Value(1), two=Value(1))) == (0, 0)


def test_what_waits_follows_the_roles_of_the_person(rita: User, remy: User, production: Target) -> None:
    asked = make_request(make_version(), production, by=rita)
    assert inbox.waiting_count(remy) == inbox.waiting_for(remy).count() == 1
    assert queue_numbers.of(remy, inbox.Wanted()).requests == [asked.pk]
    PromotionRequest.objects.filter(pk=asked.pk).update(waits_for="|risk|")
    assert inbox.waiting_count(remy) == 0
    PromotionRequest.objects.filter(pk=asked.pk).update(waits_for="|*|")
    remy.groups.clear()
    again = User.objects.get(pk=remy.pk)
    assert inbox.waiting_count(again) == 0
    assert queue_numbers.of(again, inbox.Wanted()).requests == []
