"""A server of the Model Context Protocol over standard input and output: an assistant can list, compare and request.
It cannot approve: there is no tool for it, and a token that may review is not used.

It speaks both kinds of the protocol. Until 2025-11-25 a client begins with `initialize`; since 2026-07-28 each request
says in `_meta` which version it speaks, and nothing is remembered. Of all that it needs three methods, which is why
this is written here: the package `mcp` brings fifteen others, web servers among them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from countersign import tools
from countersign.client import Client
from countersign.errors import CountersignError
from countersign.version import __version__

LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
MODERN = ("2026-07-28",)

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
SERVER_KEY = "io.modelcontextprotocol/serverInfo"

PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS, INTERNAL, NO_VERSION = (
    -32700,
    -32600,
    -32601,
    -32602,
    -32603,
    -32022,
)

INSTRUCTIONS = (
    "Countersign keeps the record of which version of a machine learning model is in use, and of who approved it. "
    "You can list models, versions, holders and incidents, compare two versions, read a request with its evidence, and "
    "request a promotion. You cannot approve, reject or review a request, and no tool here does; a person decides, on "
    "the page whose address a request has. Request a promotion only when a person asked for it, and write the "
    "justification in their words."
)
NAME = {"name": "countersign", "title": "Countersign", "version": __version__}
CACHED = {"ttlMs": 3_600_000, "cacheScope": "public"}
"""Tools are the same for everybody and change with the version."""


class Fault(Exception):
    """An error of the protocol."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.data = code, data

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": str(self), **({} if self.data is None else {"data": self.data})}


class Server:
    """One per process; the only thing that it remembers is that an older client began with `initialize`."""

    def __init__(self, client: Client) -> None:
        self._tools = tools.Tools(client)
        self._is_initialized = False

    def answer(self, text: bytes) -> Any:
        """What to send back to one line; None for what wants no answer."""
        try:
            message = json.loads(text)
        except ValueError:
            return _failed(None, Fault(PARSE_ERROR, "This is not JSON."))
        if isinstance(message, list) and message:  # a batch, as 2025-03-26 had it
            answers = [found for found in map(self._one, message) if found is not None]
            return answers or None
        return self._one(message)

    def _one(self, message: Any) -> dict[str, Any] | None:
        if (
            not isinstance(message, dict)
            or message.get("jsonrpc") != "2.0"
            or not isinstance(message.get("method"), str)
        ):
            return None if _is_response(message) else _failed(None, Fault(INVALID_REQUEST, "This is no request."))
        if "id" not in message:
            return None  # a notification: nothing here waits for one
        number = message["id"]
        if isinstance(number, bool) or not isinstance(number, (str, int)):
            return _failed(None, Fault(INVALID_REQUEST, "The id of a request is a text or a whole number."))
        try:
            params = message.get("params", {})
            if not isinstance(params, dict):
                raise Fault(INVALID_PARAMS, "The parameters are no object.")
            return {"jsonrpc": "2.0", "id": number, "result": self._dispatch(message["method"], params)}
        except Fault as fault:
            return _failed(number, fault)

    def _dispatch(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        meta = params.get("_meta")
        if isinstance(meta, dict) and VERSION_KEY in meta:
            return self._modern(method, params, meta)
        if method == "initialize":
            self._is_initialized = True
            wanted = params.get("protocolVersion")
            version = wanted if wanted in LEGACY else LEGACY[0]
            return {
                "protocolVersion": version,
                "capabilities": {"tools": {}},
                "serverInfo": NAME,
                "instructions": INSTRUCTIONS,
            }
        if method == "ping":
            return {}
        if not self._is_initialized:
            raise Fault(INVALID_PARAMS, f"Begin with initialize, or say in _meta which version this is: {VERSION_KEY}.")
        return self._common(method, params)

    def _modern(self, method: str, params: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
        if meta[VERSION_KEY] not in MODERN:
            data = {"supported": list(MODERN), "requested": meta[VERSION_KEY]}
            raise Fault(NO_VERSION, "Unsupported protocol version", data)
        if not isinstance(meta.get(CAPABILITIES_KEY), dict):
            raise Fault(INVALID_PARAMS, f"_meta has no {CAPABILITIES_KEY}.")
        if method == "server/discover":
            found = {"supportedVersions": list(MODERN), "capabilities": {"tools": {}}, "instructions": INSTRUCTIONS}
        else:
            found = self._common(method, params)
        cached = CACHED if method in {"server/discover", "tools/list"} else {}
        return {"resultType": "complete", **found, **cached, "_meta": {SERVER_KEY: NAME}}

    def _common(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        if method == "tools/list":
            return {"tools": self._tools.described()}
        if method == "tools/call":
            return self._call(params)
        raise Fault(NO_METHOD, f"There is no method {method}.")

    def _call(self, params: Mapping[str, Any]) -> dict[str, Any]:
        name, given = params.get("name"), params.get("arguments", {})
        if not isinstance(name, str) or name not in self._tools.names():
            raise Fault(INVALID_PARAMS, f"There is no tool {name}.")
        try:
            found = self._tools.call(name, given)
        except (CountersignError, tools.Unfit) as error:
            return {"content": [{"type": "text", "text": _sentence(error)}], "isError": True}
        text = json.dumps(found, ensure_ascii=False, indent=1)
        return {"content": [{"type": "text", "text": text}], "structuredContent": found, "isError": False}


def _sentence(error: Exception) -> str:
    url = getattr(error, "url", "")
    return f"{error} {url}".strip()


def _failed(number: Any, fault: Fault) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": fault.to_json()}


def _is_response(message: Any) -> bool:
    return isinstance(message, dict) and "id" in message and ("result" in message or "error" in message)


def serve(server: Server, reading: IO[bytes], writing: IO[bytes]) -> None:
    """Answers line by line until the input ends. One line is at most a megabyte."""
    while line := reading.readline():
        if not line.strip():
            continue
        try:
            answer = server.answer(line)
        except Exception as error:  # one call that goes wrong in an unforeseen way does not end the conversation
            answer = _failed(_id_of(line), Fault(INTERNAL, f"{type(error).__name__} in the server."))
        if answer is not None:
            writing.write(json.dumps(answer).encode() + b"\n")
            writing.flush()


def _id_of(line: bytes) -> Any:
    message = json.loads(line)
    return message.get("id") if isinstance(message, dict) else None
