"""The description as a page shows it: each operation with what it takes, what it answers, and how curl and Python call
it. Made from the document that the API gives out, so that the two cannot differ."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from api.encoding import as_json
from api.v1 import api
from components import markdown

Json = Mapping[str, Any]
ROOT = "/api/v1"
VALUES: dict[str, Any] = {
    # What the examples speak of, by the name of the parameter or member.
    "model": "churn_predictor",
    "version": "2",
    "target": "Production",
    "number": 1,
    "name": "Latency",
    "at": "2026-05-01T12:00Z",
    "since": "2026-01-01",
    "size": 5,
    "seed": "2026-Q1",
    "justification": "AUC is up by two points.",
    "comment": "Looks good.",
    "body": "Looks good.",
    "verdict": "approve",
    "fingerprint": "0" * 64,
    "note": "Looked into.",
}


@dataclass(frozen=True, slots=True)
class Member:
    """A parameter, or a member of a body or an answer."""

    name: str
    kind: str
    """`text`, `list of objects with name, email or null`, `one of gate, outside`."""

    is_required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    method: str
    path: str
    summary: str
    description: str
    """HTML, sanitised."""

    scope: str
    """"" for none."""

    needs_token: bool
    parameters: Sequence[Member]
    body: Sequence[Member]
    status: str
    """Of the answer when all is well."""

    answer: Sequence[Member]
    problems: Sequence[tuple[str, str]]
    """(status, when)."""

    curl: str
    python: str


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    operations: Sequence[Operation]


@cache
def groups() -> tuple[Group, ...]:
    """All operations, by what they are about. It hangs on the code alone."""
    document = json.loads(as_json(api.get_openapi_schema()))
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            tag = (told.get("tags") or ["Other"])[0]
            found.setdefault(tag, []).append(_operation(document, path, method.upper(), told))
    return tuple(Group(name, operations) for name, operations in sorted(found.items()))


def introduction() -> str:
    """HTML, sanitised."""
    return markdown.render(api.description)


def _operation(document: Json, path: str, method: str, told: Json) -> Operation:
    security = told.get("security") or [{}]
    sent = _body(document, told)
    good = {code: each for code, each in sorted(told["responses"].items(), reverse=True) if code.startswith("2")}
    curl, python = _examples(document, path, method, told, sent)
    return Operation(
        name=told["operationId"],
        method=method,
        path=path.removeprefix(ROOT),
        summary=told["summary"],
        description=markdown.render(told.get("description", "")),
        scope=next(iter(next(iter(security[0].values()), ())), ""),
        needs_token=bool(security[0]),
        parameters=[
            Member(
                each["name"],
                _kind(document, each["schema"]),
                each["required"],
                each.get("description", "").replace("`", ""),
            )
            for each in told.get("parameters", ())
        ],
        body=_members(document, sent),
        status=" or ".join(good),
        answer=_members(document, _content(next(iter(good.values())))),
        problems=[(code, each["description"]) for code, each in told["responses"].items() if code >= "300"],
        curl=curl,
        python=python,
    )


def _content(part: Json) -> Json:
    found: Json = part.get("content", {}).get("application/json", {}).get("schema", {})
    return found


def _body(document: Json, told: Json) -> Json:
    return _resolved(document, _content(told.get("requestBody", {})))


def _resolved(document: Json, schema: Json) -> Json:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _members(document: Json, schema: Json) -> list[Member]:
    schema = _resolved(document, schema)
    required = schema.get("required", ())
    return [
        Member(name, _kind(document, each), name in required, each.get("description", "").replace("`", ""))
        for name, each in schema.get("properties", {}).items()
    ]


_KINDS = {"string": "text", "integer": "number", "number": "number", "boolean": "true or false", "object": "object"}


def _kind(document: Json, schema: Json) -> str:
    """In words; of an object its members, for the reader does not know what it is called in the code."""
    schema = _resolved(document, schema)
    if members := schema.get("properties"):
        return f"object with {', '.join(members)}"
    if options := schema.get("anyOf"):
        return " or ".join(_kind(document, each) for each in options)
    if "const" in schema:
        return json.dumps(schema["const"])
    if words := schema.get("enum"):
        return f"one of {', '.join(str(each) or 'empty' for each in words)}"
    if schema.get("type") == "array":
        return f"list of {_several(_kind(document, schema.get('items', {})))}"
    if isinstance(each := schema.get("additionalProperties"), dict) and each:
        return f"object of {_several(_kind(document, each))}"
    if schema.get("format") == "date-time":
        return "time"
    return _KINDS.get(str(schema.get("type")), str(schema.get("type", "anything")))


def _several(kind: str) -> str:
    return kind.replace("object", "objects", 1) if kind.startswith("object") else kind


def _examples(document: Json, path: str, method: str, told: Json, body: Json) -> tuple[str, str]:
    """As curl and as Python: with the address and the token in the environment."""
    queried = {}
    for each in told.get("parameters", ()):
        if each["in"] == "path":
            value = quote(str(_value(document, each["name"], each["schema"])), safe="")
            path = path.replace(f"{{{each['name']}}}", value)
        elif each["in"] == "query" and each["required"]:
            queried[each["name"]] = _value(document, each["name"], each["schema"])
    address = f"{path}?{urlencode(queried)}" if queried else path
    sent = _sent(document, body)
    headers = ["Authorization: Bearer $COUNTERSIGN_TOKEN"]
    key = f"{told['operationId']}-1"
    if method == "POST":
        headers += [f"Idempotency-Key: {key}", *(["Content-Type: application/json"] if sent is not None else [])]
    curl = ["curl --fail-with-body --silent" + (f" --request {method}" if method != "GET" else "")]
    curl += [f'--header "{each}"' for each in headers]
    curl += [f"--data {shlex.quote(json.dumps(sent))}"] if sent is not None else []
    curl += [f'"$COUNTERSIGN_URL{address}"']
    python_headers = '"Authorization": f"Bearer {token}"' + f', "Idempotency-Key": "{key}"' * (method == "POST")
    python = [
        "import os",
        "",
        "import requests",
        "",
        'site, token = os.environ["COUNTERSIGN_URL"], os.environ["COUNTERSIGN_TOKEN"]',
        f"answer = requests.{method.lower()}(",
        f'    f"{{site}}{address}",',
        *([f"    json={_python(sent)},"] if sent is not None else []),
        f"    headers={{{python_headers}}},",
        "    timeout=30,",
        ")",
        "answer.raise_for_status()",
        "print(answer.json())",
    ]
    return " \\\n  ".join(curl), "\n".join(python)


def _sent(document: Json, schema: Json) -> dict[str, Any] | None:
    """The members that a body must have."""
    if not schema:
        return None
    members = schema.get("properties", {})
    return {name: _value(document, name, members[name]) for name in schema.get("required", ())}


def _value(document: Json, name: str, schema: Json) -> Any:
    schema = _resolved(document, schema)
    for known in (*schema.get("examples", ()), *([schema["const"]] if "const" in schema else ())):
        return known
    if name in VALUES:
        return VALUES[name]
    if words := schema.get("enum"):
        return words[0]
    match schema.get("type"):
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "array":
            return []
        case "object":
            return {}
        case _:
            return "text"


def _python(value: Any) -> str:
    text = json.dumps(value)
    return text.replace(": true", ": True").replace(": false", ": False").replace(": null", ": None")
