"""Several rooms. Schemathesis makes requests from the description, sound and unsound ones, of every operation, and
holds the answers of the real application against it: none fails, each is as described. What is asked for exists in half
of them, so that answers go deeper than 404."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from accounts import roles
from api.encoding import as_json
from api.v1 import api
from tests.support.api_world import ApiWorld, make_api_world
from tests.support.factories import make_person, make_token

EXAMPLES, UNSOUND = 20, 10
SCHEMA = schemathesis.openapi.from_dict(json.loads(as_json(api.get_openapi_schema())))
SCHEMA.app = WSGIHandler()
OPERATIONS = {
    f"{each.ok().method.upper()} {each.ok().path.removeprefix('/api/v1')}": each.ok()
    for each in SCHEMA.get_all_operations()
}
WITH_TOKEN = [name for name, each in OPERATIONS.items() if each.definition.raw.get("security")]
"""What takes another proof is asked only for what is refused: tests/api/resources/test_exchange.py has the rest."""
HELD = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(autouse=True)
def connected() -> Iterator[None]:
    """Beyond the end of a request, as with Django's own client: the test is one transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@dataclass(frozen=True)
class World:
    there: ApiWorld
    token: str
    """Of a person with every role."""


@pytest.fixture(scope="module")
def made(kept: None) -> World:
    return World(make_api_world(), make_token(make_person("Zoe Zander", *roles.PERMISSIONS)))


@pytest.fixture
def world(db: None, made: World, settings: Any) -> World:
    settings.API_REQUESTS_PER_MINUTE = settings.API_ANONYMOUS_PER_MINUTE = 1_000_000
    settings.ALLOWED_HOSTS = ["*"]
    return copy.deepcopy(made)


def told(case: Any, world: World) -> None:
    """Puts what there is in the place of what was made up."""
    name = case.operation.definition.raw["operationId"]
    named = world.there.named(name)
    for where in (case.path_parameters, case.query):
        if isinstance(where, dict):
            where.update({each: named[each] for each in where.keys() & named.keys()})
    if isinstance(case.body, dict):
        known = world.there.body(name)
        case.body.update({each: known[each] for each in case.body.keys() & known.keys() if each != "reason"})


@pytest.mark.parametrize("name", WITH_TOKEN)
def test_every_answer_is_as_described(name: str, world: World) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=OPERATIONS[name].as_strategy(), is_there=st.booleans())
    def hold_it(case: Any, is_there: bool) -> None:
        if is_there:
            told(case, world)
        response = case.call(headers={"Authorization": f"Bearer {world.token}"})
        case.validate_response(response, checks=HELD)
        statuses.add(response.status_code)

    statuses: set[int] = set()
    hold_it()
    assert statuses - {401, 404, 422}, f"No request went further: {statuses}"


@pytest.mark.parametrize("name", OPERATIONS)
def test_unsound_requests_are_answered_as_described(name: str, world: World) -> None:
    """Of the wrong types, too long, with parts that are missing."""
    mode = schemathesis.GenerationMode.NEGATIVE

    @settings(
        max_examples=UNSOUND,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=OPERATIONS[name].as_strategy(generation_mode=mode))
    def hold_it(case: Any) -> None:
        response = case.call(headers={"Authorization": f"Bearer {world.token}"})
        case.validate_response(response, checks=HELD)

    hold_it()
