"""Where the policy comes from: an address or a file, asked beside the requests and never in one.

What cannot be read, is not signed, is for another MLflow or is older than what is known changes nothing: the last good
policy goes on, also after a restart, and for ever.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from mlflow_gate import __version__
from mlflow_gate.background import Background
from mlflow_gate.grants import SIGNATURE_HEADER, Invalid, check_text
from mlflow_gate.policy import UNKNOWN, Policy, parse
from mlflow_gate.settings import Settings

log = logging.getLogger("mlflow_gate")

EVERY = 10
"""Seconds between two questions."""
AT_FIRST = 2
"""Seconds between two questions while nothing is known."""
TIMEOUT = 10
LARGEST = 10_000_000
"""Bytes of a policy that are read."""
TOLD_AGAIN = 600
"""Seconds after which the log repeats that Countersign cannot be asked."""


@dataclass(frozen=True)
class Signed:
    """A policy as Countersign gives it out, and as it is kept in files."""

    text: bytes
    signature: str
    etag: str = ""

    @classmethod
    def read(cls, path: Path) -> Signed:
        """Raises OSError or ValueError."""
        try:
            said = json.loads(path.read_text())
            return cls(text=str(said["policy"]).encode(), signature=str(said["signature"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a file with a policy and its signature.") from error

    def write(self, path: Path) -> None:
        """Whole or not at all, and for the owner alone. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "w") as file:
            json.dump({"policy": self.text.decode(), "signature": self.signature}, file)
        Path(name).replace(path)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The token is for Countersign and for no other address that an answer names."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


opener = urllib.request.build_opener(_NoRedirect)


def request(settings: Settings, url: str, data: bytes | None = None) -> urllib.request.Request:
    """One to Countersign, with the token."""
    headers = {"User-Agent": f"countersign-mlflow-gate/{__version__}"}
    if settings.token:
        headers["Authorization"] = f"Bearer {settings.token}"
    if data is not None:
        headers["Content-Type"] = "application/json"
    return urllib.request.Request(url, data=data, headers=headers)  # noqa: S310 — the operator's own address


def fetch(settings: Settings, etag: str = "") -> Signed | None:
    """What the policy's address or file says now; None when it is what had this ETag. Raises OSError (urllib's errors
    are) or ValueError."""
    if not settings.policy.startswith(("http://", "https://")):
        return Signed.read(Path(settings.policy))
    asked = request(settings, settings.policy)
    if etag:
        asked.add_header("If-None-Match", etag)
    try:
        with opener.open(asked, timeout=TIMEOUT) as answer:
            text = answer.read(LARGEST + 1)
            if len(text) > LARGEST:
                raise ValueError("The policy is larger than a policy can be.")
            return Signed(text, answer.headers.get(SIGNATURE_HEADER, ""), answer.headers.get("ETag", ""))
    except urllib.error.HTTPError as error:
        if error.code == 304:
            return None
        raise
    except HTTPException as error:
        raise OSError(f"the answer cannot be read: {error!r}") from error


def checked(settings: Settings, signed: Signed, *, at_least: int = 0) -> Policy:
    """The policy in it. Raises ValueError with a sentence."""
    try:
        check_text(settings.keys, "policy", signed.text, signed.signature)
    except Invalid as error:
        raise ValueError(f"The policy does not hold: {error}.") from error
    policy = parse(signed.text, settings.audience)
    if policy.serial < at_least:
        raise ValueError(f"The policy is an older one, {policy.serial}; {at_least} is known.")
    return policy


class Source:
    """The policy that counts in this process."""

    def __init__(self, settings: Settings, reached: Callable[[], object] = bool) -> None:
        """`reached` is called each time that Countersign answered, beside the requests, too."""
        self._settings, self._reached = settings, reached
        self._policy, self._etag, self._kept = UNKNOWN, "", b""
        self._asked_at = self._told_at = 0.0
        self._background = Background("countersign-policy", self._run)
        try:
            self._take(Signed.read(settings.state))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.error("The policy that was kept in %s is not used: %s", settings.state, error)

    def policy(self) -> Policy:
        """At once, from memory."""
        self._background.ensure()
        return self._policy

    def ask(self) -> None:
        """Once, and never raises: whatever goes wrong, what is known stays."""
        try:
            found = fetch(self._settings, self._etag)
            if found is not None:
                self._take(found)
                self._keep(found)
            if self._told_at:
                log.warning("Countersign's policy is there again: number %s.", self._policy.serial)
            self._asked_at, self._told_at = time.time(), 0.0
            self._reached()
        except Exception as error:  # a policy that cannot be had must not end the thread that asks for the next one
            self._complain(error)

    def _run(self) -> None:
        while True:
            self.ask()
            time.sleep(EVERY if self._policy.serial else AT_FIRST)

    def _take(self, signed: Signed) -> None:
        self._policy = checked(self._settings, signed, at_least=self._policy.serial)
        self._etag = signed.etag

    def _keep(self, signed: Signed) -> None:
        if signed.text != self._kept:
            try:
                signed.write(self._settings.state)
                self._kept = signed.text
            except OSError as error:
                log.error("The policy cannot be kept in %s for the next start: %s", self._settings.state, error)

    def _complain(self, error: Exception) -> None:
        if time.time() - self._told_at < TOLD_AGAIN:
            return
        self._told_at = time.time()
        if not self._policy.serial:
            known = "nothing is known, and what could be a place is closed"
        elif self._asked_at:
            known = f"number {self._policy.serial} goes on, {(time.time() - self._asked_at) / 60:.0f} minutes old"
        else:
            known = f"number {self._policy.serial} goes on, as it was kept of {self._policy.issued_at}"
        log.error("Countersign's policy cannot be had from %s: %s; %s.", self._settings.policy, error, known)
