"""One request by its number, and whether it has moved on."""

from collections.abc import Callable

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from approvals import workflow
from approvals.models import PromotionRequest, Target
from approvals.selectors import one_request
from tests.support.factories import make_policy, make_request, make_version


@pytest.fixture
def asked(rita: User, staging: Target) -> PromotionRequest:
    make_policy("*", staging, (2, None))
    return make_request(make_version(), staging, by=rita)


Step = Callable[[PromotionRequest, User, User], object]
MOVES: dict[str, Step] = {
    "one of two approvals": lambda request, remy, _: workflow.review(request, by=remy, verdict="approve"),
    "a refusal": lambda request, remy, _: workflow.review(request, by=remy, verdict="reject", comment="Worse."),
    "its end": lambda request, _, rita: workflow.withdraw(request, by=rita),
}
STAYS: dict[str, Step] = {
    "a comment": lambda request, remy, _: workflow.comment(request, by=remy, body="Why?"),
    "who is asked by name": lambda request, remy, rita: workflow.nominate(request, by=rita, person=remy),
}


@pytest.mark.parametrize("name", MOVES)
def test_another_status_or_approval_is_another_revision(
    name: str, asked: PromotionRequest, remy: User, rita: User
) -> None:
    before = one_request.revision(asked.pk)
    MOVES[name](asked, remy, rita)
    assert one_request.revision(asked.pk) != before


@pytest.mark.parametrize("name", STAYS)
def test_what_is_said_about_it_is_none(name: str, asked: PromotionRequest, remy: User, rita: User) -> None:
    before = one_request.revision(asked.pk)
    STAYS[name](asked, remy, rita)
    assert one_request.revision(asked.pk) == before


def test_it_is_one_query_for_one_as_for_several(
    asked: PromotionRequest, rita: User, staging: Target, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    other = make_request(make_version(), staging, by=rita)
    with django_assert_num_queries(1):
        found = one_request.revision(asked.pk)
    with django_assert_num_queries(1):
        both = one_request.revisions([asked.pk, other.pk])
    assert both.keys() == {asked.pk, other.pk}
    assert both[asked.pk] == found


def test_there_is_none_of_what_there_is_not(db: None) -> None:
    assert one_request.revision(7) == ""
    assert one_request.find(7) is None
    assert one_request.find(10**30) is None
