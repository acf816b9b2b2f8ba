"""`Client`: what programs do with Countersign. Each method is one call of the API, or as many as a list has pages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote

from countersign import credentials, durations, pipeline
from countersign.errors import Misconfigured, Refused, TimedOut, Unavailable
from countersign.shapes import Event, Evidence, Holder, Incident, Me, Model, PromotionRequest, Version
from countersign.transport import Transport
from countersign.version import __version__

TIMEOUT = 30.0
WAIT = 25
"""Seconds that one call asks the server to wait for news; it allows 30."""

AWAY = 5.0
"""Seconds to the next try after all tries of one call found no server."""

OPEN = frozenset({"checking", "pending", "changes_requested", "approved", "failed"})


class Client:
    """`url` and `token` are those of COUNTERSIGN_URL and COUNTERSIGN_TOKEN unless they are given; in a CI job without a
    token its identity is exchanged for one. Methods raise Refused, with Countersign's reason and sentence, Unavailable
    after some tries, and Misconfigured; see `countersign.errors`. `timeout` is for one answer, in seconds.

    One client is for one thread.
    """

    def __init__(
        self,
        url: str = "",
        token: str = "",
        *,
        timeout: float = TIMEOUT,
        environment: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises Misconfigured when there is no address or no token."""
        self._environment = os.environ if environment is None else environment
        url = url or self._environment.get("COUNTERSIGN_URL", "").strip()
        if not url:
            raise Misconfigured("There is no address. Set COUNTERSIGN_URL, such as https://countersign.example.")
        self._sleep = sleep
        self._transport = Transport(
            url,
            credentials.Given(token)
            if token
            else credentials.found(url, self._environment, timeout=timeout, sleep=sleep),
            timeout=timeout,
            headers=_headers(self._environment),
            sleep=sleep,
        )
        self.url = self._transport.url

    def close(self) -> None:
        """Ends the connection; `with Client() as client:` does so as well."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def me(self) -> Me:
        """As whom this token acts, and what it may do."""
        return cast("Me", self._transport.json("GET", "/me"))

    def models(self) -> Iterator[Model]:
        return self._pages("/models")

    def versions(self, model: str) -> Iterator[Version]:
        """Newest first."""
        return self._pages(f"/models/{_quoted(model)}/versions")

    def version(self, model: str, version: str) -> Version:
        """With its metrics, parameters, tags and what holds it."""
        path = f"/models/{_quoted(model)}/versions/{_quoted(version)}"
        return cast("Version", self._transport.json("GET", path))

    def holder(self, model: str, target: str, at: str = "") -> Holder:
        """Which version holds the target now, or held it at a moment (`2026-05-01` or `2026-05-01T12:00Z`). Raises
        Refused with the code `no_holder` when none did."""
        path = f"/models/{_quoted(model)}/targets/{_quoted(target)}/holder"
        return cast("Holder", self._transport.json("GET", path, params={"at": at}))

    def holders(self, at: str = "") -> Iterator[Holder]:
        """Of all models."""
        return self._pages("/holders", at=at)

    def request(self, model: str, version: str, target: str, justification: str, *, key: str = "") -> PromotionRequest:
        """Requests a promotion, and returns the request as it is now. In a CI job, the same run that asks the same
        again gets the request that it has; `key` is another idempotency key. Raises Refused with the code
        `already_open` when there is another open request for it; its `url` leads there."""
        run = pipeline.run_id(self._environment)
        key = key or (pipeline.idempotency_key(model, str(version), target, run) if run else "")
        body = {"model": model, "version": str(version), "target": target, "justification": justification}
        # Of a version that was registered a moment ago: the answer asks to come again while Countersign looks for it.
        made = self._transport.json("POST", "/requests", body=body, key=key, tries=9)
        # A key that is known gets the answer of the first time.
        return self.show(int(made["id"]))

    def show(self, request: int, *, since: str = "", wait: int = 0) -> PromotionRequest:
        """With `since`, the revision that is known, the answer comes when there is another one, or after `wait`
        seconds."""
        return self._show(request, since=since, wait=wait)[0]

    def requests(self, **filters: str) -> Iterator[PromotionRequest]:
        """Newest first. Filters: `status`, `model`, `version`, `target`."""
        return self._pages("/requests", **filters)

    def wait(
        self,
        request: int,
        *,
        timeout: float,
        seen: Callable[[PromotionRequest], None] = lambda _: None,
        away: Callable[[Unavailable], None] = lambda _: None,
    ) -> PromotionRequest:
        """Waits at most `timeout` seconds until the request is closed: applied, rejected, withdrawn or expired. `seen`
        is called with it after each answer, `away` when Countersign does not answer, which is waited out.

        Raises TimedOut, with the request as it was seen last, also when the token lasts no longer; and Refused."""
        deadline = time.monotonic() + timeout
        found: PromotionRequest | None = None
        while True:
            began = time.monotonic()
            known = str(found["revision"]) if found else ""
            try:
                found, pause = self._show(request, since=known, wait=max(0, min(WAIT, int(deadline - began))))
            except Unavailable as error:
                if time.monotonic() >= deadline:
                    raise
                away(error)
                pause = AWAY
            except Refused as error:
                if error.status != 401 or found is None:
                    raise
                raise TimedOut(f"{error} Request {request} is still open.", found) from error
            else:
                seen(found)
                if found["status"] not in OPEN:
                    return found
            now = time.monotonic()
            if found is not None and now >= deadline:
                raise TimedOut(f"Request {request} is still open after {durations.words(timeout)}.", found)
            # Where the server does not wait, it is asked once a second all the same, and no oftener.
            self._sleep(max(0.0, min(max(pause, began + 1 - now), deadline - now)))

    def withdraw(self, request: int, reason: str = "") -> PromotionRequest:
        """Raises Refused for a request that is closed, or of others."""
        body = {"reason": reason}
        return cast("PromotionRequest", self._transport.json("POST", f"/requests/{request}/withdraw", body=body))

    def evidence(self, request: int) -> Evidence:
        """What reviewers decide on, as it is frozen, and its fingerprint."""
        answer = self._transport.call("GET", f"/requests/{request}/evidence")
        return Evidence(answer.content, answer.headers.get("ETag", "").removeprefix("W/").strip('"'))

    def incidents(self, *, is_open: bool | None = True) -> Iterator[Incident]:
        """Newest first: open ones, resolved ones, or all of them (None)."""
        return self._pages("/incidents", is_open=None if is_open is None else str(is_open).lower())

    def events(self, after: int = 0) -> Iterator[Event]:
        """The ledger in its order, from the event after this number to the last one there is."""
        while True:
            page = self._transport.json("GET", "/events", params={"after": after, "limit": 200})
            yield from page["items"]
            after = page["next"]
            if not page["items"] or after >= page["last"]:
                return

    def _show(self, request: int, *, since: str = "", wait: int = 0) -> tuple[PromotionRequest, float]:
        """And for how many seconds the server asks to be left alone, because too many wait there."""
        params = {"since": since, "wait": wait} if since and wait else {}
        answer = self._transport.call("GET", f"/requests/{request}", params=params, longer=wait)
        after = answer.headers.get("Retry-After", "")
        return cast("PromotionRequest", self._transport.parsed(answer)), float(after) if after.isdigit() else 0.0

    def _pages(self, path: str, **params: Any) -> Iterator[Any]:
        cursor: Any = None
        while True:
            page = self._transport.json("GET", path, params={**params, "cursor": cursor, "limit": 200})
            yield from page["items"]
            cursor = page.get("next")
            if not cursor:
                return


def _quoted(text: str) -> str:
    return quote(str(text), safe="")


def _headers(environment: Mapping[str, str]) -> dict[str, str]:
    run = pipeline.run_url(environment)
    return {
        "Accept": "application/json",
        "User-Agent": f"countersign-client/{__version__}",
        **({"X-Countersign-Run": run} if run else {}),
    }
