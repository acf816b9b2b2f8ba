"""What an assistant can do. Each tool is one method of `Client`; none decides about a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from countersign.client import Client
from countersign.errors import CountersignError

MOST = 100
"""Of a list: what an assistant reads at once."""

DECIDES = "reviews:write"


IS_OPEN = {"open": True, "resolved": False, "all": None}
"""Which incidents a word means."""


class Unfit(Exception):
    """The arguments are not what the tool takes; the message says which."""


class MayReview(CountersignError):
    code = "may_review"


@dataclass(frozen=True)
class Argument:
    about: str
    kind: str = "string"
    is_needed: bool = True
    choices: tuple[str, ...] = ()

    def schema(self) -> dict[str, Any]:
        choices = {"enum": list(self.choices)} if self.choices else {}
        return {"type": self.kind, "description": self.about, **choices}


@dataclass(frozen=True)
class Tool:
    title: str
    about: str
    call: Callable[..., Any]
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    changes: bool = False

    def described(self, name: str) -> dict[str, Any]:
        needed = [each for each, argument in self.arguments.items() if argument.is_needed]
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {each: argument.schema() for each, argument in self.arguments.items()},
            "additionalProperties": False,
            **({"required": needed} if needed else {}),
        }
        hints = {"readOnlyHint": not self.changes, "destructiveHint": False, "openWorldHint": False}
        if self.changes:
            hints["idempotentHint"] = False
        return {
            "name": name,
            "title": self.title,
            "description": self.about,
            "inputSchema": schema,
            "annotations": {"title": self.title, **hints},
        }


MODEL = Argument("The name of the registered model.")
VERSION = Argument("The version's number, as text: 7.")
TARGET = Argument("The target, such as Production.")
REQUEST = Argument("The number of the request.", "integer")


class Tools:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._is_examined = False
        self._tools = {
            "list_models": Tool("List models", "The registered models.", self._models),
            "list_versions": Tool(
                "List versions", "The versions of a model, newest first.", self._versions, {"model": MODEL}
            ),
            "show_version": Tool(
                "Show a version",
                "One version: metrics, parameters, tags and what it holds.",
                client.version,
                {"model": MODEL, "version": VERSION},
            ),
            "show_holder": Tool(
                "Show the holder of a target",
                "Which version of a model holds a target, now or at a moment.",
                client.holder,
                {
                    "model": MODEL,
                    "target": TARGET,
                    "at": Argument("A moment, such as 2026-05-01T12:00Z; now if it is left out.", is_needed=False),
                },
            ),
            "compare_versions": Tool(
                "Compare two versions",
                "Metrics, parameters and tags of two versions of a model, with what differs.",
                self._compare,
                {"model": MODEL, "version": VERSION, "with_version": Argument("The version to compare it with.")},
            ),
            "show_request": Tool(
                "Show a request", "A request: its status and what it still needs.", client.show, {"request": REQUEST}
            ),
            "show_evidence": Tool(
                "Show the evidence of a request",
                "What reviewers decide on, as it was frozen for the request.",
                self._evidence,
                {"request": REQUEST},
            ),
            "list_incidents": Tool(
                "List incidents",
                "Changes in MLflow that Countersign did not make.",
                self._incidents,
                {"status": Argument("Open ones if it is left out.", is_needed=False, choices=tuple(IS_OPEN))},
            ),
            "request_promotion": Tool(
                "Request a promotion",
                "Requests that a version is promoted to a target. People then review it in Countersign; this tool "
                "cannot approve, and nothing in MLflow changes before they have.",
                client.request,
                {
                    "model": MODEL,
                    "version": VERSION,
                    "target": TARGET,
                    "justification": Argument("Why, in the words of the person who asked for it."),
                },
                changes=True,
            ),
        }

    def names(self) -> Iterable[str]:
        return self._tools

    def described(self) -> list[dict[str, Any]]:
        return [tool.described(name) for name, tool in self._tools.items()]

    def call(self, name: str, given: Any) -> dict[str, Any]:
        """Raises Unfit, and what `Client` raises; MayReview for a token with which reviews can be written."""
        tool = self._tools[name]
        arguments = _checked(tool, given)
        self._examine()
        found = tool.call(**arguments)
        return dict(found)

    def _examine(self) -> None:
        """An assistant with a token that may review could come to use it; so it does nothing with it, once for all."""
        if not self._is_examined:
            if DECIDES in self._client.me()["token"]["scopes"]:
                raise MayReview(
                    f"This token has the scope {DECIDES}. An assistant must not be able to approve: set "
                    "COUNTERSIGN_TOKEN to one with read, evidence:read and requests:write alone."
                )
            self._is_examined = True

    def _models(self) -> dict[str, Any]:
        return _listed(self._client.models())

    def _versions(self, model: str) -> dict[str, Any]:
        return _listed(self._client.versions(model))

    def _incidents(self, status: str = "open") -> dict[str, Any]:
        return _listed(self._client.incidents(is_open=IS_OPEN[status]))

    def _evidence(self, request: int) -> dict[str, Any]:
        found = self._client.evidence(request)
        return {"fingerprint": found.fingerprint, "evidence": found.document}

    def _compare(self, model: str, version: str, with_version: str) -> dict[str, Any]:
        one, other = self._client.version(model, version), self._client.version(model, with_version)
        parts = {part: _differences(one.get(part), other.get(part)) for part in ("metrics", "params", "tags")}
        return {"model": model, "version": version, "with_version": with_version, **parts}


def _checked(tool: Tool, given: Any) -> dict[str, Any]:
    """Raises Unfit."""
    if not isinstance(given, dict):
        raise Unfit("The arguments are no object.")
    for name, argument in tool.arguments.items():
        if name not in given:
            if argument.is_needed:
                raise Unfit(f"The argument {name} is missing: {argument.about}")
            continue
        value = given[name]
        is_right = isinstance(value, str) if argument.kind == "string" else type(value) is int
        if not is_right or (argument.choices and value not in argument.choices):
            wanted = f"one of {', '.join(argument.choices)}" if argument.choices else f"of the type {argument.kind}"
            raise Unfit(f"The argument {name} has to be {wanted}.")
    unknown = sorted(given.keys() - tool.arguments.keys())
    if unknown:
        raise Unfit(f"There is no argument {unknown[0]}.")
    return given


def _listed(items: Iterator[Any]) -> dict[str, Any]:
    """The first of them, and whether there are more."""
    found = list(islice(items, MOST))
    return {"items": found, "has_more": next(items, None) is not None}


def _differences(one: Any, other: Any) -> dict[str, Any]:
    """`{"different": {name: [one, other]}, "same": {name: value}}`."""
    left, right = _by_name(one), _by_name(other)
    names = sorted({*left, *right})
    return {
        "different": {name: [left.get(name), right.get(name)] for name in names if left.get(name) != right.get(name)},
        "same": {name: left[name] for name in names if name in left and left.get(name) == right.get(name)},
    }


def _by_name(given: Any) -> dict[str, Any]:
    return dict(given or {})
