"""What is known of a version and a target that it may be asked into, read once."""

from typing import Any

import pytest

from accounts.models import User
from approvals import workflow
from approvals.models import Target
from approvals.selectors import champions, eligibility
from tests.support.factories import make_policy, make_request, make_version
from tests.support.world import hold

pytestmark = pytest.mark.django_db


def test_a_candidate_says_what_it_would_replace_and_under_which_rule(rita: User, production: Target) -> None:
    one = make_version()
    hold(one, production)
    make_policy("churn_*", production, (3, None))
    found = eligibility.candidate(make_version(), production)
    assert (found.champion, found.archives, found.rule.approvals) == (one, [1], 3)
    assert (found.open_request, found.problem, found.is_possible) == (None, "", True)


def test_an_open_request_or_a_problem_makes_it_impossible(rita: User, staging: Target, production: Target) -> None:
    one = make_version()
    request = make_request(one, staging, by=rita)
    asked = eligibility.candidate(one, staging)
    assert (asked.open_request, asked.problem, asked.is_possible) == (request, "", False)
    hold(one, production)
    held = eligibility.candidate(one, production)
    assert (held.problem, held.is_possible) == ("Version 1 is already in Production.", False)


def test_nothing_is_archived_where_the_target_keeps_its_holders(production: Target) -> None:
    hold(make_version(), production)
    production.archives_existing = False
    assert eligibility.candidate(make_version(), production).archives == []


def test_known_holders_are_not_read_again(production: Target, django_assert_num_queries: Any) -> None:
    hold(make_version(), production)
    two = make_version()
    holders = champions.holders(two.model, production)
    with django_assert_num_queries(4):  # the rule in two, the open request, the target that it would vacate
        found = eligibility.candidate(two, production, holders=holders)
    assert found.holders == holders


def test_the_verb_goes_by_what_holds_the_target_now_and_not_by_what_the_page_saw(
    rita: User, production: Target
) -> None:
    one, two = make_version(), make_version()
    seen = eligibility.candidate(two, production)
    hold(one, production)
    request = workflow.request_promotion(two, production, by=rita, justification="Better.")
    assert (seen.champion, request.champion) == (None, one)
