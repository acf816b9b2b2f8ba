"""What can go wrong, in four kinds: the caller's settings, Countersign's no, no answer, and no answer in time."""

from __future__ import annotations

from typing import Any


class CountersignError(Exception):
    """`str(error)` is a sentence for a person; `code` is for programs."""

    code = "error"

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "detail": str(self)}


class Misconfigured(CountersignError):
    """An address, a token or an argument is missing or is not what it should be."""

    code = "misconfigured"


class Unavailable(CountersignError):
    """Countersign could not be reached, did not answer in time, or failed (5xx), as often as it was tried."""

    code = "unavailable"


class TimedOut(CountersignError):
    """What was waited for did not come in time; `request` is how it was seen last. It is still open."""

    code = "timed_out"

    def __init__(self, sentence: str, request: Any) -> None:
        super().__init__(sentence)
        self.request = request


class Refused(CountersignError):
    """Countersign says no. `code` is its reason (`self_approval`, `frozen`, `already_open` …), `str(error)` the
    sentence that the page shows, `url` the page where a person can act, if there is one, and `problem` all of it."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code") or f"http_{status}")
        self.url = str(problem.get("url") or "")
        super().__init__(_sentence(status, problem))

    def to_json(self) -> dict[str, Any]:
        found = {**super().to_json(), "status": self.status}
        errors = self.problem.get("errors")
        return {**found, **({"url": self.url} if self.url else {}), **({"errors": errors} if errors else {})}


def _sentence(status: int, problem: dict[str, Any]) -> str:
    text = str(problem.get("detail") or problem.get("title") or f"Countersign answered {status}.")
    for each in problem.get("errors") or ():
        if isinstance(each, dict) and each.get("detail") and str(each["detail"]) not in text:
            text += f" {each.get('pointer', '')}: {each['detail']}"
    return text
