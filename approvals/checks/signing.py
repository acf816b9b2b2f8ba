"""Standard Webhooks signatures: of our calls to external checks, of their answers, and of health reports."""

import base64
import hmac
from collections.abc import Mapping
from datetime import datetime

from cryptography.fernet import Fernet, InvalidToken
from django.utils.crypto import salted_hmac

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
"""How far the clocks of the two sides may be apart, and how long a message can be sent once more."""


def secret_for(name: str, *, purpose: str = "countersign.external-check") -> str:
    """The secret shared with the check of this name, derived from the installation's secret key: nothing is stored.
    Another `purpose` gives another secret for the same name."""
    key = salted_hmac(purpose, name, algorithm="sha256").digest()
    return PREFIX + base64.b64encode(key).decode()


def encrypted(text: str, *, purpose: str) -> str:
    """For a secret of others that has to be stored: read with the installation's secret key alone."""
    return _cipher(purpose).encrypt(text.encode()).decode()


def decrypted(text: str, *, purpose: str) -> str:
    """Raises ValueError when it was encrypted under another secret key."""
    try:
        return _cipher(purpose).decrypt(text.encode()).decode()
    except InvalidToken as error:
        raise ValueError("This was encrypted under another secret key.") from error


def _cipher(purpose: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(salted_hmac(purpose, "", algorithm="sha256").digest()))


def sign(body: bytes, secret: str, *, message_id: str, now: datetime) -> dict[str, str]:
    """The three headers of a signed message. The id stays the same when a message is sent again."""
    timestamp = str(int(now.timestamp()))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + digest(_key(secret), message_id, timestamp, body),
    }


def verify(
    headers: Mapping[str, str], body: bytes, secret: str, *, now: datetime, tolerance: int = TOLERANCE_SECONDS
) -> str:
    """What is wrong with the signature of a message, in a sentence; "" when it is right. `headers` find their names in
    lower case; compares in constant time."""
    message_id, timestamp = headers.get("webhook-id") or "", headers.get("webhook-timestamp") or ""
    signatures = headers.get("webhook-signature") or ""
    if not (message_id and timestamp and signatures):
        return "The headers webhook-id, webhook-timestamp and webhook-signature are needed."
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12):
        return "webhook-timestamp is not a number of seconds since 1970."
    expected = f"v1,{digest(_key(secret), message_id, timestamp, body)}".encode()
    # Every one is compared: a sender that changes its secret signs with both for a while.
    found = [hmac.compare_digest(expected, each.encode("utf-8", "replace")) for each in signatures.split(" ")]
    if not any(found):
        return "The signature is wrong."
    if abs(now.timestamp() - int(timestamp)) > tolerance:
        return f"The time-stamp is more than {tolerance} seconds off; it may be an old message."
    return ""


def digest(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """Base64 of HMAC-SHA256 over `<id>.<timestamp>.<body>`, which MLflow signs in the same way."""
    content = f"{message_id}.{timestamp}.".encode("utf-8", "replace") + body
    return base64.b64encode(hmac.digest(key, content, "sha256")).decode()


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))
