"""Checkpoints as text: the ledger's head as a C2SP signed note, with Ed25519.

    countersign.example.com/ledger
    1200
    5f2c… (the hash of event 1200, 64 hexadecimal digits)
    number 7
    at 2026-11-24T12:00:00+00:00

    — countersign.example.com/ledger GitdPF…

The text up to the empty line is signed. `standalone` reads the same notes without this package.
"""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from approvals.ledger import standalone
from approvals.ledger.chain import Link

Note = standalone.Checkpoint


class BadNote(Exception):
    """A checkpoint that cannot be trusted; the message is a sentence."""


def origin() -> str:
    """What a checkpoint is of: host and port of the site, and `/ledger`."""
    return f"{urlsplit(settings.SITE_URL).netloc}/ledger"


def public_key_of(seed: bytes, name: str = "") -> str:
    """The public key of a private one (32 bytes) in the form name+id+base64."""
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    name = name or origin()
    return f"{name}+{standalone.key_id_of(name, raw).hex()}+{base64.b64encode(bytes([1]) + raw).decode()}"


def own_key() -> str:
    """The public key that checkpoints are signed with now; "" without one."""
    return public_key_of(settings.CHECKPOINT_KEY) if settings.CHECKPOINT_KEY else ""


def trusted_keys() -> list[str]:
    """The one that signs now, and earlier ones."""
    return [key for key in (own_key(), *settings.CHECKPOINT_PUBLIC_KEYS) if key]


def new_key() -> tuple[str, str]:
    """A fresh key pair: the private key in base64, and the public one."""
    seed = Ed25519PrivateKey.generate().private_bytes_raw()
    return base64.b64encode(seed).decode(), public_key_of(seed)


def moment(at: datetime) -> str:
    """In UTC, ISO 8601 with microseconds, as it is in a checkpoint."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def sign(number: int, link: Link, at: datetime) -> str:
    """The note, signed with the key of this installation, which must be set."""
    text = f"{origin()}\n{link.sequence}\n{link.hash}\nnumber {number}\nat {moment(at)}\n"
    signature = Ed25519PrivateKey.from_private_bytes(settings.CHECKPOINT_KEY).sign(text.encode())
    key_id = bytes.fromhex(own_key().split("+")[1])
    return f"{text}\n\u2014 {origin()} {base64.b64encode(key_id + signature).decode()}\n"


def written(note: Note) -> str:
    """The text of a note as `sign` writes it."""
    lines = [f"\u2014 {name} {base64.b64encode(key_id + raw).decode()}\n" for name, key_id, raw in note.signatures]
    return f"{note.text}\n{''.join(lines)}"


def read(text: str, *, keys: Sequence[str] | None = None) -> list[Note]:
    """The notes in a text, each signed with one of `keys` (default: the trusted ones). Raises BadNote."""
    try:
        notes = standalone.checkpoints(text)
        trusted = [standalone.public_key(key) for key in (trusted_keys() if keys is None else keys)]
    except standalone.Unusable as error:
        raise BadNote(str(error)) from error
    for note in notes:
        _check(note, trusted)
    return notes


def _check(note: Note, keys: Sequence[standalone.Key]) -> None:
    for name, key_id, raw in keys:
        for signer, signer_id, signature in note.signatures:
            if (signer, signer_id) == (name, key_id):
                try:
                    Ed25519PublicKey.from_public_bytes(raw).verify(signature, note.text.encode())
                except InvalidSignature as error:
                    raise BadNote(f"{note} was altered: the signature of {name} does not fit it.") from error
                return
    raise BadNote(
        f"{note} is signed with a key that is not trusted: it was forged, or the key is missing from "
        "COUNTERSIGN_CHECKPOINT_PUBLIC_KEYS."
    )
