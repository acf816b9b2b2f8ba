"""The whole room. Every role and every scope at every operation, as one table: what is not in it makes a test fail, so
nobody adds an operation without saying who may."""

import copy
import re
from dataclasses import dataclass

import pytest
from django.db import transaction

from accounts import roles, tokens
from tests.support.api import Answer, Machine
from tests.support.api_world import OPERATIONS, WHO, ApiWorld, make_api_world
from tests.support.factories import make_service_account

TABLE = """
get_evidence       evidence:read  403 200 200 200 200 200 200 200
get_certificate    evidence:read  403 200 200 200 200 200 200 200
list_checks        read           403 200 200 200 200 200 200 200
report_check       checks:write   403 403 403 403 403 403 403 200
create_request     requests:write 403 201 403 403 403 403 201 201
list_requests      read           403 200 200 200 200 200 200 200
get_request        read           403 200 200 200 200 200 200 200
withdraw_request   requests:write 403 403 403 403 403 403 200 403
resubmit_request   requests:write 403 403 403 403 403 403 200 403
comment_on_request requests:write 403 201 201 201 403 403 201 201
review_request     reviews:write  403 403 201 403 403 403 403 403
list_incidents     read           403 200 200 200 200 200 200 200
get_incident       read           403 200 200 200 200 200 200 200
resolve_incident   reviews:write  403 403 200 403 403 200 403 403
list_events        audit:read     403 403 403 403 200 200 403 403
list_population    audit:read     403 403 403 403 200 200 403 403
draw_sample        audit:read     403 403 403 403 200 200 403 403
get_gate_policy    gate           403 200 200 200 200 200 200 200
list_webhooks      webhooks:write 403 403 403 403 403 200 403 403
create_webhook     webhooks:write 403 403 403 403 403 201 403 403
get_webhook        webhooks:write 403 403 403 403 403 200 403 403
delete_webhook     webhooks:write 403 403 403 403 403 200 403 403
test_webhook       webhooks:write 403 403 403 403 403 200 403 403
get_holder         read           403 200 200 200 200 200 200 200
list_holders       read           403 200 200 200 200 200 200 200
get_version        read           403 200 200 200 200 200 200 200
list_versions      read           403 200 200 200 200 200 200 200
get_model          read           403 200 200 200 200 200 200 200
list_models        read           403 200 200 200 200 200 200 200
get_me             -              403 200 200 200 200 200 200 200
"""
"""Operation, scope that its token needs ("-" for none), and the status that each of WHO gets with a token of all scopes
that their account can have."""


@dataclass(frozen=True)
class Row:
    scope: str
    answers: dict[str, int]


def rows() -> dict[str, Row]:
    found = {}
    for line in TABLE.strip().splitlines():
        name, scope, *answers = line.split()
        found[name] = Row("" if scope == "-" else scope, dict(zip(WHO, map(int, answers), strict=True)))
    return found


ROWS = rows()


@pytest.fixture(scope="module")
def made(kept: None) -> ApiWorld:
    return make_api_world()


@pytest.fixture
def world(db: None, made: ApiWorld) -> ApiWorld:
    return copy.deepcopy(made)


def tried(world: ApiWorld, who: str, scopes: tuple[str, ...], name: str) -> Answer:
    """What is answered; nothing of it stays."""
    with transaction.atomic():
        found = world.send(Machine(world.people[who], *scopes), name)
        transaction.set_rollback(True)
    return found


def test_every_operation_has_a_row_and_every_row_an_operation() -> None:
    assert ROWS.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_role_is_answered_as_the_table_says(name: str, world: ApiWorld) -> None:
    found = {}
    for who in WHO:
        answer = tried(world, who, (), name)
        found[who] = answer.status
        if answer.status == 403:
            assert (answer["detail"] == roles.NEEDED) is (who == "nobody"), answer.body
            is_for_persons = ROWS[name].scope == "reviews:write" and who == "program"
            assert (answer["code"] == "persons_only") is is_for_persons, answer.body
            assert answer["detail"].endswith(".")
    assert found == ROWS[name].answers


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_scope_but_its_own_opens_it(name: str, world: ApiWorld) -> None:
    wanted = ROWS[name].scope
    for scope in tokens.SCOPES:
        answer = tried(world, "reviewer", (scope,), name)
        assert answer.status != 401
        is_shut = answer.status == 403 and answer["code"] == "scope_missing"
        assert is_shut is (bool(wanted) and scope != wanted), (scope, answer.body)


def test_no_operation_answers_without_a_token(db: None) -> None:
    for method, path in OPERATIONS.values():
        made_up = re.sub(r"{\w+}", "1", path)
        assert Machine().send(method, made_up, {} if method == "POST" else None).status in (401, 429), path


@pytest.mark.parametrize("who_has", ["it", "its owner", "nobody"])
def test_a_program_reads_by_its_own_role_or_that_of_its_owner(world: ApiWorld, who_has: str) -> None:
    owner = world.people["requester" if who_has == "its owner" else "nobody"]
    account = make_service_account("scanner", owner=owner, groups=["auditor"] if who_has == "it" else ["risk"])
    assert world.send(Machine(account), "list_models").status == (403 if who_has == "nobody" else 200)
