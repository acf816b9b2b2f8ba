import base64
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow_gate import grants

from tests.support.gate import KEY, OTHER_KEY, PUBLIC_KEY

OPERATION = "transition_model_version_stage"
ARGUMENTS: Mapping[str, Any] = {
    "name": "churn",
    "version": "7",
    "stage": "Production",
    "archive_existing_versions": True,
}
NOW = 1_795_728_147.0
KEYS = [grants.public_key(PUBLIC_KEY)]


def made(**changes: Any) -> str:
    wanted = {"audience": "mlflow", "request": 12, "expect": {"stage:Production": [6]}, "now": NOW} | changes
    return grants.sign(wanted.pop("key", KEY), wanted.pop("operation", OPERATION), ARGUMENTS, **wanted)


def held(value: str, *, now: float = NOW, **changes: Any) -> grants.Grant:
    return grants.check(value, KEYS, OPERATION, dict(ARGUMENTS) | changes, audience="mlflow", now=now)


def test_a_grant_says_what_was_signed() -> None:
    grant = held(made(expect={"stage:Production": [9, 6], "alias:champion": []}))
    assert (grant.request, grant.audience) == (12, "mlflow")
    assert grant.expect == {"stage:Production": [6, 9], "alias:champion": []}


@pytest.mark.parametrize("change", [{"version": "07"}, {"version": 7}, {"stage": "pRODUCTION"}])
def test_spellings_that_mlflow_takes_for_the_same_are_the_same(change: dict[str, Any]) -> None:
    assert held(made(), **change).request == 12


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Churn"},
        {"version": "8"},
        {"stage": "Staging"},
        {"archive_existing_versions": False},
        {"archive_existing_versions": 1.0},
        {"more": None},
    ],
)
def test_a_grant_is_for_one_change(change: dict[str, Any]) -> None:
    with pytest.raises(grants.Invalid, match="for another change"):
        held(made(), **change)


def test_a_grant_is_for_one_operation_and_one_mlflow() -> None:
    with pytest.raises(grants.Invalid, match="for another change"):
        held(made(operation="delete_registered_model_alias"))
    with pytest.raises(grants.Invalid, match="for another MLflow, 'staging'"):
        held(made(audience="staging"))


@pytest.mark.parametrize("late", [0, grants.LIFETIME, grants.LIFETIME + grants.SKEW - 1, -grants.SKEW + 1])
def test_clocks_may_differ_a_little(late: float) -> None:
    assert held(made(), now=NOW + late)


@pytest.mark.parametrize(
    ("late", "why"),
    [
        (grants.LIFETIME + grants.SKEW + 1, "expired .*61 s old"),
        (86_400, "expired"),
        (-grants.SKEW - 11, "not valid yet .*differ by 41 s"),
    ],
)
def test_a_grant_holds_for_seconds(late: float, why: str) -> None:
    with pytest.raises(grants.Invalid, match=why):
        held(made(), now=NOW + late)


def test_keys_are_exchanged_without_a_break() -> None:
    """MLflow is given the new key beside the old one, Countersign signs with the new one, then the old one goes."""
    new = [grants.public_key(grants.public_key_of(OTHER_KEY))]
    for value in (made(), made(key=OTHER_KEY)):
        assert grants.check(value, [*KEYS, *new], OPERATION, ARGUMENTS, audience="mlflow", now=NOW)
    with pytest.raises(grants.Invalid, match="of no key that MLflow trusts"):
        grants.check(made(), new, OPERATION, ARGUMENTS, audience="mlflow", now=NOW)


def test_a_signature_serves_one_purpose() -> None:
    signature = grants.sign_text(KEY, "policy", b"text")
    grants.check_text(KEYS, "policy", b"text", signature)
    with pytest.raises(grants.Invalid):
        grants.check_text(KEYS, "grant", b"text", signature)


GRANT = made()


@given(st.integers(0, len(GRANT) - 1), st.characters())
@example(3, "\ud800")
def test_any_changed_character_is_refused(place: int, other: str) -> None:
    changed = GRANT[:place] + other + GRANT[place + 1 :]
    if changed != GRANT:
        with pytest.raises(grants.Invalid):
            held(changed)


@given(st.integers(0, len(GRANT)), st.text(min_size=1, max_size=4))
def test_anything_added_is_refused(place: int, more: str) -> None:
    with pytest.raises(grants.Invalid):
        held(GRANT[:place] + more + GRANT[place:])


@given(st.integers(0, len(GRANT) - 1), st.integers(1, 40))
def test_anything_left_out_is_refused(place: int, count: int) -> None:
    with pytest.raises(grants.Invalid):
        held(GRANT[:place] + GRANT[place + count :])


@given(st.one_of(st.text(), st.text(alphabet="v1.ABab-_=", max_size=400)))
def test_no_text_is_a_grant(text: str) -> None:
    with pytest.raises(grants.Invalid):
        held(text)


VALUES = st.one_of(st.text(max_size=20), st.booleans(), st.none())


@given(
    st.dictionaries(st.text(max_size=8), VALUES, max_size=4),
    st.dictionaries(st.text(max_size=8), VALUES, max_size=4),
    st.text(max_size=10),
    st.text(max_size=10),
)
def test_two_changes_have_one_digest_only_if_they_are_one(
    arguments: dict[str, Any], others: dict[str, Any], operation: str, other: str
) -> None:
    for each in (arguments, others):
        for name in ("stage", "version"):
            each.pop(name, None)
    same = (operation, arguments) == (other, others)
    assert (grants.change(operation, arguments) == grants.change(other, others)) is same


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", PUBLIC_KEY + "AAAA"])
def test_what_is_no_key_is_said_so(text: str) -> None:
    for read in (grants.public_key, grants.private_key):
        with pytest.raises(ValueError, match="32 bytes in base64"):
            read(text)


def test_a_key_is_read_as_it_is_given_out() -> None:
    key = Ed25519PrivateKey.generate()
    given_out = base64.b64encode(key.private_bytes_raw()).decode()
    assert grants.public_key_of(grants.private_key(given_out)) == grants.public_key_of(key)
