"""What the adapter signs, and what a refusal of the gate inside MLflow means, asked of a small server that answers what
it is told."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mlflow_gate import grants

from mirror.mlflow.client import MlflowRegistry
from mirror.port import Denied, Gate, Grounds, Outdated, Refused, RegistryError, Unreachable, Unsigned
from tests.support.scripted import Scripted, error_of

KEY = Ed25519PrivateKey.generate()
MARK = " [gate 0.1 · policy 12 · enforce]"
GROUNDS = Grounds(request=12, holders={"Production": [7, 6], "@champion": []}, made=1_795_000_000_123)

CHANGES: list[tuple[Callable[[MlflowRegistry], None], str, dict[str, object]]] = [
    (
        lambda registry: registry.set_stage("churn", 7, "production", archive_existing=True, grounds=GROUNDS),
        "transition_model_version_stage",
        {"name": "churn", "version": "7", "stage": "Production", "archive_existing_versions": True},
    ),
    (
        lambda registry: registry.set_alias("churn", "champion", 7, grounds=GROUNDS),
        "set_registered_model_alias",
        {"name": "churn", "alias": "champion", "version": "7"},
    ),
    (
        lambda registry: registry.delete_alias("churn", "champion", grounds=GROUNDS),
        "delete_registered_model_alias",
        {"name": "churn", "alias": "champion"},
    ),
    (
        lambda registry: registry.set_description("churn", 7, "Ärger\n模型", grounds=GROUNDS),
        "update_model_version",
        {"name": "churn", "version": "7", "description": "Ärger\n模型"},
    ),
    (
        lambda registry: registry.set_tag("churn", 7, "countersign.request", "12", grounds=GROUNDS),
        "set_model_version_tag",
        {"name": "churn", "version": "7", "key": "countersign.request", "value": "12"},
    ),
    (
        lambda registry: registry.delete_tag("churn", 7, "countersign.request", grounds=GROUNDS),
        "delete_model_version_tag",
        {"name": "churn", "version": "7", "key": "countersign.request"},
    ),
]
OPERATIONS = [operation for _, operation, _ in CHANGES]


@pytest.fixture
def key(settings: Any) -> None:
    settings.GATE_KEY, settings.GATE_AUDIENCE = KEY.private_bytes_raw(), "mlflow-of-the-test"


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(("change", "operation", "arguments"), CHANGES, ids=OPERATIONS)
def test_a_change_carries_a_grant_for_itself_and_nothing_else(
    server: Scripted, change: Callable[[MlflowRegistry], None], operation: str, arguments: dict[str, object]
) -> None:
    change(server.says(200, "{}"))
    (sent,) = server.seen
    keys = [KEY.public_key()]
    grant = grants.check(sent[grants.HEADER], keys, operation, arguments, audience="mlflow-of-the-test")
    assert grant.request == 12
    assert grant.expect == {"stage:Production": [6, 7], "alias:champion": [], "made": [1_795_000_000_123]}
    for wrong in (
        {**arguments, "name": "fraud"},
        {**arguments, "version": "8"},
    ):
        with pytest.raises(grants.Invalid):
            grants.check(sent[grants.HEADER], keys, operation, wrong, audience="mlflow-of-the-test")


@pytest.mark.usefixtures("key")
def test_what_only_reads_carries_no_grant(server: Scripted) -> None:
    error_of(lambda: server.says(200, "{}").version("churn", 1))
    assert grants.HEADER not in server.seen[0]


@pytest.mark.usefixtures("key")
def test_who_does_not_sign_in_is_granted_nothing(server: Scripted) -> None:
    server.says(200, "{}").unsigned().set_tag("churn", 1, "a", "b")
    assert grants.HEADER not in server.seen[0]


@pytest.mark.usefixtures("key")
def test_a_model_is_deleted_with_a_grant(server: Scripted) -> None:
    server.says(200, "{}").delete_model("countersign-canary-0123abcd")
    arguments = {"name": "countersign-canary-0123abcd"}
    header = server.seen[0][grants.HEADER]
    grants.check(header, [KEY.public_key()], "delete_registered_model", arguments, audience="mlflow-of-the-test")


@pytest.mark.parametrize("change", [change for change, _, _ in CHANGES], ids=OPERATIONS)
def test_a_worker_without_a_key_sends_no_grant(server: Scripted, change: Callable[[MlflowRegistry], None]) -> None:
    change(server.says(200, "{}"))
    assert grants.HEADER not in server.seen[0]


def refused(server: Scripted, sentence: str) -> RegistryError:
    registry = server.says(403, f'{{"error_code": "PERMISSION_DENIED", "message": "{sentence}"}}')
    return error_of(lambda: registry.set_stage("churn", 7, "Production", archive_existing=True))


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    ("sentence", "kind", "told"),
    [
        ("churn version 7 cannot be moved here: the grant is for another change.", Refused, "is for another change"),
        ("churn version 7 cannot be moved here: two reviewers.", Refused, "two reviewers."),
        ("the grant expects version 6 in Production, MLflow has version 5", Outdated, "MLflow has version 5"),
        ("the grant has expired (it is 90 s old, or the clocks differ)", Denied, "Synchronize the clocks"),
        ("the grant is not valid yet (the clocks differ by 41 s)", Denied, "differ by 41 s). Synchronize"),
        ("the signature is of no key that MLflow trusts", Denied, "COUNTERSIGN_GATE_KEYS"),
        ("the grant is for another MLflow, 'other'", Denied, "COUNTERSIGN_GATE_AUDIENCE"),
    ],
)
def test_what_the_gate_says_of_a_grant_becomes_the_right_error(
    server: Scripted, sentence: str, kind: type[RegistryError], told: str
) -> None:
    error = refused(server, sentence + MARK)
    assert type(error) is kind
    assert told in error.message
    assert "[gate" not in error.message
    assert error.may_retry is (kind in {Denied, Outdated})


def test_a_worker_without_a_key_is_told_what_to_set(server: Scripted) -> None:
    error = refused(server, "churn version 7 cannot be moved to Production here: two reviewers." + MARK)
    assert type(error) is Denied
    assert "this worker has no key: set COUNTERSIGN_GATE_KEY" in error.message


@pytest.mark.usefixtures("key")
def test_what_mlflow_itself_does_not_allow_is_no_refusal_of_the_gate(server: Scripted) -> None:
    error = refused(server, "Permission denied [gate keeper]. Ask Ada.")
    assert type(error) is Denied
    assert "needs EDIT on the registered model" in error.message


# --- Whether there is a gate


def test_a_gate_is_known_by_its_refusal_on_a_connection_of_its_own(server: Scripted) -> None:
    said = "The tag countersign.probe is written by Countersign alone. [gate 0.1 \\u00b7 policy 12 \\u00b7 observe]"
    registry = server.says(403, f'{{"error_code": "PERMISSION_DENIED", "message": "{said}"}}')
    assert registry.gate() == Gate("0.1", 12, "observe")
    assert server.seen[0]["Connection"] == "close"
    assert grants.HEADER not in server.seen[0]


def test_a_server_without_a_gate_does_not_find_the_version(server: Scripted) -> None:
    assert server.says(404, '{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not found"}').gate() is None


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, "Permission denied", Denied),
        (401, "Who are you?", Unsigned),
        (200, "{}", Unreachable),
        (502, "<html>", Unreachable),
    ],
)
def test_whatever_else_is_answered_tells_neither(
    server: Scripted, status: int, body: str, kind: type[RegistryError]
) -> None:
    assert type(error_of(server.says(status, body).gate)) is kind
