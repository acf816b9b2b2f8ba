"""Grants: how Countersign's worker proves to MLflow that one change was approved.

A grant is signed with Ed25519 and binds the operation, its arguments, the MLflow that it is meant for, and the holders
that the worker found there. MLflow has the public key alone, so nothing on its host can make one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

HEADER = "X-Countersign-Grant"
SIGNATURE_HEADER = "X-Countersign-Signature"
LIFETIME = 30
"""Seconds for which a grant holds."""
SKEW = 30
"""Seconds by which the clocks of the two hosts may differ."""
LONGEST = 8000
"""Bytes of a header that is looked at; servers cut headers at about this."""

STAGES = {"none": "None", "staging": "Staging", "production": "Production", "archived": "Archived"}
Expected = Mapping[str, Sequence[int]]


class Invalid(Exception):
    """The grant does not hold; the message is a clause, "the grant has expired"."""


@dataclass(frozen=True)
class Grant:
    issued_at: float
    expires_at: float
    id: str
    audience: str
    request: int | None
    change: str
    expect: Mapping[str, Sequence[int]]
    """Place, "stage:Production" or "alias:champion", to the versions that must hold it when the change is made; "made"
    to when the version itself was made, in milliseconds."""


def change(operation: str, arguments: Mapping[str, object]) -> str:
    """SHA-256, hex, of what is to be executed: the name of MLflow's store method and its arguments, as MLflow means
    them. The stage is spelled MLflow's way and a version has no leading zeros, whatever the caller wrote."""
    return hashlib.sha256(_canonical([operation, {key: _plain(key, arguments[key]) for key in arguments}])).hexdigest()


def sign(
    key: Ed25519PrivateKey,
    operation: str,
    arguments: Mapping[str, object],
    *,
    audience: str,
    request: int | None = None,
    expect: Expected | None = None,
    now: float | None = None,
) -> str:
    """The header's value."""
    now = time.time() if now is None else now
    claims = {
        "iat": round(now, 3),
        "exp": round(now + LIFETIME, 3),
        "jti": secrets.token_urlsafe(12),
        "aud": audience,
        "req": request,
        "sha": change(operation, arguments),
        "expect": {place: sorted(numbers) for place, numbers in (expect or {}).items()},
    }
    body = _encode(_canonical(claims))
    return f"v1.{body}.{sign_text(key, 'grant', body.encode())}"


def check(
    value: str,
    keys: Sequence[Ed25519PublicKey],
    operation: str,
    arguments: Mapping[str, object],
    *,
    audience: str,
    now: float | None = None,
) -> Grant:
    """Raises Invalid. Whether the holders are the expected ones is for the caller to see, who knows MLflow's store."""
    now = time.time() if now is None else now
    parts = value.split(".") if value.isascii() and len(value) <= LONGEST else []
    if len(parts) != 3 or parts[0] != "v1":
        raise Invalid("the grant is not one of this version of Countersign")
    check_text(keys, "grant", parts[1].encode(), parts[2])
    grant = _read(parts[1])
    if grant.audience != audience:
        raise Invalid(f"the grant is for another MLflow, {grant.audience!r}")
    if grant.issued_at > now + SKEW:
        raise Invalid(f"the grant is not valid yet (the clocks differ by {grant.issued_at - now:.0f} s)")
    if grant.expires_at + SKEW < now:
        raise Invalid(f"the grant has expired (it is {now - grant.issued_at:.0f} s old, or the clocks differ)")
    if grant.change != change(operation, arguments):
        raise Invalid("the grant is for another change")
    return grant


def sign_text(key: Ed25519PrivateKey, purpose: str, text: bytes) -> str:
    """URL-safe base64 without padding. The purpose is signed along, so that a signature serves no other one."""
    return _encode(key.sign(_signed(purpose, text)))


def check_text(keys: Sequence[Ed25519PublicKey], purpose: str, text: bytes, signature: str) -> None:
    """Raises Invalid unless one of the keys signed it; several are there while keys are exchanged."""
    given = _decode(signature)
    for key in keys:
        try:
            key.verify(given, _signed(purpose, text))
        except InvalidSignature:
            continue
        return
    raise Invalid("the signature is of no key that MLflow trusts")


def private_key(text: str) -> Ed25519PrivateKey:
    """From the base64 of 32 bytes; raises ValueError."""
    return Ed25519PrivateKey.from_private_bytes(_key_bytes(text))


def public_key(text: str) -> Ed25519PublicKey:
    """From the base64 of 32 bytes; raises ValueError."""
    return Ed25519PublicKey.from_public_bytes(_key_bytes(text))


def public_key_of(key: Ed25519PrivateKey) -> str:
    """As MLflow is given it, in base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def _signed(purpose: str, text: bytes) -> bytes:
    return b"countersign-" + purpose.encode() + b":v1." + text


def _read(body: str) -> Grant:
    try:
        claims = json.loads(_decode(body))
        return Grant(
            issued_at=float(claims["iat"]),
            expires_at=float(claims["exp"]),
            id=str(claims["jti"]),
            audience=str(claims["aud"]),
            request=claims["req"],
            change=str(claims["sha"]),
            expect={str(place): [int(number) for number in numbers] for place, numbers in claims["expect"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid("the grant cannot be read") from error


def _plain(name: str, value: object) -> object:
    if name == "stage":
        return STAGES.get(str(value).lower(), str(value))
    if name == "version":
        return str(int(str(value)))
    return value


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    """Raises Invalid unless it is the one spelling that `_encode` writes."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("the grant cannot be read") from error
    if _encode(raw) != text:
        raise Invalid("the grant cannot be read")
    return raw


def _key_bytes(text: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("A key is 32 bytes in base64.") from error
    if len(raw) != 32:
        raise ValueError(f"A key is 32 bytes in base64; this one has {len(raw)}.")
    return raw
