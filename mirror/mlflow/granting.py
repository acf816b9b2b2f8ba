"""Grants: how the gate inside MLflow knows that Countersign wants a change. Over `mlflow_gate.grants`, which says what
is signed; the key is the worker's (COUNTERSIGN_GATE_KEY)."""

import json
from collections.abc import Container, Mapping
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from mlflow_gate import grants
from mlflow_gate.policy import MARK

from mirror.port import Denied, Gate, Grounds, Outdated, Refused, RegistryError

ROUTES = {
    # method of MLflow's registry store: how it is called over HTTP, with its arguments as the body
    "transition_model_version_stage": ("POST", "model-versions/transition-stage"),
    "set_registered_model_alias": ("POST", "registered-models/alias"),
    "delete_registered_model_alias": ("DELETE", "registered-models/alias"),
    "update_model_version": ("PATCH", "model-versions/update"),
    "set_model_version_tag": ("POST", "model-versions/set-tag"),
    "delete_model_version_tag": ("DELETE", "model-versions/delete-tag"),
    "delete_registered_model": ("DELETE", "registered-models/delete"),
}

_AMISS = (
    # what the gate says of a grant; what is to be put right before the same change goes through
    ("the grant has expired", "Synchronize the clocks of MLflow's host and the worker's with NTP."),
    ("the grant is not valid yet", "Synchronize the clocks of MLflow's host and the worker's with NTP."),
    (
        "no key that MLflow trusts",
        "Add the public key of the worker's COUNTERSIGN_GATE_KEY to MLflow's COUNTERSIGN_GATE_KEYS.",
    ),
    ("the grant is for another MLflow", "Set COUNTERSIGN_GATE_AUDIENCE alike for MLflow and for the worker."),
)


def headers(operation: str, arguments: Mapping[str, Any], grounds: Grounds) -> dict[str, str]:
    """The grant for one call of this store method; {} for a worker without a key."""
    if not settings.GATE_KEY:
        return {}
    expect = {_place(place): numbers for place, numbers in grounds.holders.items()}
    value = grants.sign(
        _key(settings.GATE_KEY),
        operation,
        arguments,
        audience=settings.GATE_AUDIENCE,
        request=grounds.request,
        expect=expect if grounds.made is None else {**expect, "made": [grounds.made]},
    )
    return {grants.HEADER: value}


def refusal(message: str, sent: Container[str]) -> RegistryError | None:
    """What the gate's 403 means to a request with the headers `sent`; None where it is not the gate that refused."""
    if not MARK.search(message):
        return None
    said = MARK.sub("", message)
    if grants.HEADER not in sent:
        return Denied(
            "MLflow's gate wants a signed grant, and this worker has no key: set COUNTERSIGN_GATE_KEY, or "
            f"COUNTERSIGN_GATE_KEY_FILE, for the worker. MLflow said: {said}"
        )
    if "the grant expects" in said:
        return Outdated(said)
    for words, remedy in _AMISS:
        if words in said:
            return Denied(f"MLflow's gate does not accept the worker's grant: {said.rstrip('.')}. {remedy}")
    return Refused(said)


def gate_in(answer: str) -> Gate | None:
    """What the gate says of itself in the JSON of a refusal; None where it is not the gate that refused."""
    try:
        found = MARK.search(str(json.loads(answer)["message"]))
    except (ValueError, KeyError, TypeError):
        return None
    return Gate(found["version"], int(found["serial"]), found["mode"]) if found else None


@lru_cache(maxsize=2)
def _key(raw: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(raw)


def _place(place: str) -> str:
    return f"alias:{place[1:]}" if place.startswith("@") else f"stage:{place}"
