"""Every known way to get something past the gate, in every form that MLflow takes, and what must go on beside it.

One list for both who try it: `python -m mlflow_gate doctor`, as an engineer, and the tests, which also have versions in
guarded places and so try what is marked `held`. The forms matter because MLflow takes one and the same request in many
spellings; whoever finds another one adds it to `_spelled`.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

API, PAGES = "/api/2.0/", "/ajax-api/2.0/"
"""MLflow has each route twice: for programs and for its own pages."""

REFUSED, GOES_ON = "refused", "goes on"
OPEN, STOPPED, NOT_TAKEN, FAILED = "open", "stopped", "not taken", "failed"
"""What can come of an attempt beside what it is made for. *Not taken*: MLflow itself does not take this form, and
says so; *failed*: nothing can be said."""

STAMP = "[gate "
"""In each sentence with which a gate of any version refuses; all of it is in `policy.MARK`."""

SEALED = "countersign-doctor/sealed"
"""A folder that the gate always seals, wherever it lies, so that an engineer can try it."""

FORGED = "Mine.\n\n<!-- countersign:begin -->\nApproved by nobody.\n<!-- countersign:end -->"
TAG = "countersign.request"


@dataclass(frozen=True)
class Attempt:
    what: str
    form: str
    """How it is spelled; empty for the way in which MLflow's client sends it."""
    expected: str
    """REFUSED or GOES_ON."""
    method: str
    target: str
    """The address below MLflow's own, as it goes over the wire."""
    content: bytes = b""
    held: bool = False
    """Makes sense only while version 1 is in the stage Production and called `champion`, or the prompt is."""
    without: tuple[str, ...] = ()
    """Of what goes on: words that the answer must not show, because the gate leaves them out of what is written."""

    @property
    def title(self) -> str:
        return f"{self.what} ({self.form})" if self.form else self.what


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: Mapping[str, str]
    """Names in lower case."""

    @property
    def error(self) -> str:
        """In MLflow's words; empty when it is not MLflow who answers, or there is none."""
        try:
            found = json.loads(self.text)
            return str(found["message"]) if found["error_code"] else ""
        except (ValueError, KeyError, TypeError):
            return ""


class Mlflow:
    """An MLflow server as one person sees it. Each request is a connection of its own, so that with several server
    processes each is met at some time."""

    def __init__(self, url: str, *, user: str = "", password: str = "", timeout: float = 30) -> None:
        """Raises ValueError for an address that is not one."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not the address of a server.")
        self.is_encrypted, self.host, self.port = parts.scheme == "https", parts.hostname, parts.port
        self.below, self.timeout = parts.path.rstrip("/"), timeout
        self._headers: dict[str, str] = {}
        if user:
            self._headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def send(self, method: str, target: str, content: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """The target goes out as it is, percent signs and all. Raises OSError when nobody answers."""
        link = self._link()
        try:
            kind = "application/json" if content[:1] in (b"{", b'"') else "application/octet-stream"
            sent = {"Content-Type": kind, **self._headers, **(headers or {})}
            link.request(method, self.below + target, content or None, sent)
            answer = link.getresponse()
            text = answer.read().decode("utf-8", "replace")
            return Answer(answer.status, text, {name.lower(): value for name, value in answer.getheaders()})
        except http.client.HTTPException as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
        finally:
            link.close()

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """As MLflow's client does it: the path is the one below `/api/2.0/`. Raises OSError when nobody answers."""
        return self.send(method, API + path, b"" if body is None else json.dumps(body).encode())

    def attempt(self, attempt: Attempt) -> Answer:
        """Goes where it is sent on to, as the other spelling of an address. Raises OSError when nobody answers."""
        answer = self.send(attempt.method, attempt.target, attempt.content)
        if answer.status in (301, 302, 307, 308):
            there = urlsplit(answer.headers.get("location", "")).path
            return self.send(attempt.method, there.removeprefix(self.below), attempt.content)
        return answer

    def _link(self) -> http.client.HTTPConnection:
        if self.is_encrypted:
            return http.client.HTTPSConnection(
                self.host, self.port, timeout=self.timeout, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)


def judge(attempt: Attempt, answer: Answer) -> str:
    """One of the words above: what came of the attempt."""
    if 200 <= answer.status < 300:
        is_as_meant = attempt.expected == GOES_ON and not any(word in answer.text for word in attempt.without)
        return GOES_ON if is_as_meant else OPEN
    if answer.status == 403 and attempt.expected == REFUSED:
        return REFUSED
    if answer.status == 403 and STAMP in answer.error:
        return STOPPED
    return NOT_TAKEN if answer.error or answer.status in (404, 405) else FAILED


def prompt_of(model: str) -> str:
    return f"{model}-prompt"


def preparation(model: str) -> list[Attempt]:
    """Makes what is attacked: a model with two versions, whose source is nowhere, and a prompt with one."""
    nowhere = f"s3://countersign-doctor/{model}"
    prompt = prompt_of(model)
    is_prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    text = {"key": "mlflow.prompt.text", "value": "Say {{ it }}."}
    return [
        _plain("make a model", "POST", "mlflow/registered-models/create", {"name": model}),
        _plain("make a version", "POST", "mlflow/model-versions/create", {"name": model, "source": nowhere}),
        _plain("make a version", "POST", "mlflow/model-versions/create", {"name": model, "source": nowhere}),
        _plain("make a prompt", "POST", "mlflow/registered-models/create", {"name": prompt, "tags": [is_prompt]}),
        _plain(
            "make a version of it",
            "POST",
            "mlflow/model-versions/create",
            {"name": prompt, "source": "prompt-template", "tags": [is_prompt, text]},
        ),
    ]


def attacks(model: str) -> Iterator[Attempt]:
    """What must be refused, of a model as `preparation` makes it. Version 2 is what is moved, or takes a name over;
    version 1 is the one that holds the places, where one does."""
    yield from _stages(model)
    yield from _aliases(model)
    yield from _facts(model)
    yield from _deletions(model)
    yield from _prompts(model)


def webhook_attacks(webhook: str) -> Iterator[Attempt]:
    """Of the webhook through which MLflow tells Countersign of changes."""
    path = f"mlflow/webhooks/{webhook}"
    yield from _spelled("switch off the webhook to Countersign", "PATCH", path, {"status": "DISABLED"}, held=True)
    yield from _spelled("delete the webhook to Countersign", "DELETE", path, {}, held=True)


def file_attacks(folder: str = SEALED, *, around: bool = True) -> Iterator[Attempt]:
    """Of a sealed folder, as MLflow's artifacts name it, and of those around it. On a server that is not sealed they
    write in it."""
    escaped = quote(folder)
    letter = folder[0]
    spellings = {
        "": f"{escaped}/model.pkl",
        "a letter encoded": f"%{ord(letter):02x}{escaped[1:]}/model.pkl",
        "a letter encoded twice": f"%25{ord(letter):02x}{escaped[1:]}/model.pkl",
        "slashes doubled": escaped.replace("/", "//") + "//model.pkl",
        "slashes encoded": quote(folder, safe="") + "%2Fmodel.pkl",
        "a dot between": f"./{escaped}/./model.pkl",
        "deeper": f"{escaped}/data/model.pkl",
    }
    for form, path in spellings.items():
        for api, where in ((API, ""), (PAGES, "MLflow's pages")):
            said = ", ".join(each for each in (form, where) if each)
            address = f"{api}mlflow-artifacts/artifacts/{path}"
            yield Attempt("put a file into a sealed folder", said, REFUSED, "PUT", address, b"other bytes")
            yield Attempt("delete a file of a sealed folder", said, REFUSED, "DELETE", address)
    parents = [folder.rsplit("/", up)[0] for up in range(folder.count("/") + 1 if around else 1)]
    for parent in parents:
        address = f"mlflow-artifacts/artifacts/{quote(parent)}"
        yield Attempt("delete a sealed folder, or one around it", parent, REFUSED, "DELETE", API + address)
        yield Attempt("delete a sealed folder, or one around it", f"{parent}/", REFUSED, "DELETE", f"{API}{address}/")
    for step in ("create", "complete", "abort"):
        yield from _spelled(
            f"{step} an upload in parts into a sealed folder",
            "POST",
            f"mlflow-artifacts/mpu/{step}/{escaped}",
            {"path": "model.pkl", "num_parts": 1, "upload_id": "1", "parts": [{"part_number": 1, "etag": "1"}]},
        )


def what_goes_on(model: str) -> Iterator[Attempt]:
    """What is no business of the gate, of a model that nothing holds; at last the model is renamed and deleted."""
    two = {"name": model, "version": "2"}
    yield _plain(
        "describe a version in one's own words",
        "PATCH",
        "mlflow/model-versions/update",
        {**two, "description": "Mine."},
    )
    yield _plain("tag a version", "POST", "mlflow/model-versions/set-tag", {**two, "key": "mine", "value": "1"})
    yield _plain("take one's tag off", "DELETE", "mlflow/model-versions/delete-tag", {**two, "key": "mine"})
    yield _plain(
        "tag a model", "POST", "mlflow/registered-models/set-tag", {"name": model, "key": "mine", "value": "1"}
    )
    yield _plain(
        "describe a model", "PATCH", "mlflow/registered-models/update", {"name": model, "description": "Mine."}
    )
    yield _plain("give another alias", "POST", "mlflow/registered-models/alias", {**two, "alias": "challenger"})
    yield _plain(
        "take another alias away", "DELETE", "mlflow/registered-models/alias", {"name": model, "alias": "challenger"}
    )
    yield _plain(
        "archive a version that holds nothing",
        "POST",
        "mlflow/model-versions/transition-stage",
        {**two, "stage": "Archived"},
    )
    forged = {"description": FORGED, "tags": [{"key": TAG, "value": "1"}, {"key": "mine", "value": "1"}]}
    yield _plain(
        "register a version with forged facts, which are left out",
        "POST",
        "mlflow/model-versions/create",
        {"name": model, "source": f"s3://countersign-doctor/{model}", **forged},
        without=(TAG, "countersign:begin"),
    )
    copy = f"{model}-copy"
    yield _plain(
        "make a model with forged facts, which are left out",
        "POST",
        "mlflow/registered-models/create",
        {"name": copy, **forged},
        without=(TAG,),
    )
    yield _plain(
        "copy a version into another model, without its approval",
        "POST",
        "mlflow/model-versions/create",
        {"name": copy, "source": f"models:/{model}/2", **forged},
        without=(TAG, "countersign:begin"),
    )
    yield _plain("delete that model", "DELETE", "mlflow/registered-models/delete", {"name": copy})
    yield _plain("search versions", "GET", "mlflow/model-versions/search")
    yield _plain("delete a version that holds nothing", "DELETE", "mlflow/model-versions/delete", two)
    yield _plain(
        "delete a prompt that holds nothing", "DELETE", "mlflow/registered-models/delete", {"name": prompt_of(model)}
    )
    renamed = f"{model}-renamed"
    yield _plain(
        "rename a model that holds nothing",
        "POST",
        "mlflow/registered-models/rename",
        {"name": model, "new_name": renamed},
    )
    yield _plain("delete a model that holds nothing", "DELETE", "mlflow/registered-models/delete", {"name": renamed})


def files_that_go_on(folder: str) -> Iterator[Attempt]:
    """Of a folder that is not sealed; it is deleted in the end."""
    address = f"{API}mlflow-artifacts/artifacts/{quote(folder)}"
    listed = f"{API}mlflow-artifacts/artifacts?path={quote(folder)}"
    yield Attempt("put a file elsewhere", "", GOES_ON, "PUT", f"{address}/notes.txt", b"mine")
    yield Attempt("read it", "", GOES_ON, "GET", f"{address}/notes.txt")
    yield Attempt("list its folder", "", GOES_ON, "GET", listed)
    yield Attempt("delete its folder", "", GOES_ON, "DELETE", address)


def _stages(model: str) -> Iterator[Attempt]:
    what, path = "move a version to Production", "mlflow/model-versions/transition-stage"
    two: dict[str, Any] = {"name": model, "version": "2", "stage": "Production"}
    yield from _spelled(what, "POST", path, two)
    changes: dict[str, dict[str, Any]] = {
        "lower case": {"stage": "production"},
        "upper case": {"stage": "PRODUCTION"},
        "version 02": {"version": "02"},
        "version as a number": {"version": 2},
        "archiving the others": {"archive_existing_versions": True},
        "archiving the others, archiveExistingVersions": {"archiveExistingVersions": True},
    }
    for form, change in changes.items():
        yield _plain(what, "POST", path, {**two, **change}, form=form, expected=REFUSED)
    for stage in ("Archived", "Staging", "None"):
        body = {"name": model, "version": "1", "stage": stage}
        yield from _spelled(f"move the version in Production to {stage}", "POST", path, body, held=True)


def _aliases(model: str) -> Iterator[Attempt]:
    path = "mlflow/registered-models/alias"
    two: dict[str, Any] = {"name": model, "version": "2", "alias": "champion"}
    yield from _spelled("call a version champion", "POST", path, two)
    for form, change in {
        "Champion": {"alias": "Champion"},
        "CHAMPION": {"alias": "CHAMPION"},
        "version 02": {"version": "02"},
    }.items():
        yield _plain("call a version champion", "POST", path, {**two, **change}, form=form, expected=REFUSED)
    for alias in ("champion", "Champion"):
        yield from _spelled(f"take the alias {alias} away", "DELETE", path, {"name": model, "alias": alias})


def _facts(model: str) -> Iterator[Attempt]:
    """What Countersign writes: its note and its tags."""
    one, two = {"name": model, "version": "1"}, {"name": model, "version": "2"}
    update = "mlflow/model-versions/update"
    yield from _spelled("forge an approval note", "PATCH", update, {**two, "description": FORGED})
    yield from _spelled("take the approval note away", "PATCH", update, {**one, "description": ""}, held=True)
    yield from _spelled("change the approval note", "PATCH", update, {**one, "description": FORGED}, held=True)
    tagged, untagged = "mlflow/model-versions/set-tag", "mlflow/model-versions/delete-tag"
    yield from _spelled("forge a tag of Countersign", "POST", tagged, {**two, "key": TAG, "value": "1"})
    yield from _spelled("delete a tag of Countersign", "DELETE", untagged, {**two, "key": TAG})
    tagged, untagged = "mlflow/registered-models/set-tag", "mlflow/registered-models/delete-tag"
    yield from _spelled("forge a model's tag of Countersign", "POST", tagged, {"name": model, "key": TAG, "value": "1"})
    yield from _spelled("delete a model's tag of Countersign", "DELETE", untagged, {"name": model, "key": TAG})


def _deletions(model: str) -> Iterator[Attempt]:
    one = {"name": model, "version": "1"}
    whole = {"name": model}
    renamed = {"name": model, "new_name": f"{model}-elsewhere"}
    yield from _spelled("delete the version in Production", "DELETE", "mlflow/model-versions/delete", one, held=True)
    yield from _spelled("delete its model", "DELETE", "mlflow/registered-models/delete", whole, held=True)
    yield from _spelled("rename its model", "POST", "mlflow/registered-models/rename", renamed, held=True)


def _prompts(model: str) -> Iterator[Attempt]:
    prompt = prompt_of(model)
    one = {"name": prompt, "version": "1"}
    tagged, untagged = "mlflow/model-versions/set-tag", "mlflow/model-versions/delete-tag"
    yield from _spelled(
        "call a prompt champion", "POST", "mlflow/registered-models/alias", {**one, "alias": "champion"}
    )
    text = {**one, "key": "mlflow.prompt.text"}
    yield from _spelled("change the text of the prompt in use", "POST", tagged, {**text, "value": "Lie."}, held=True)
    yield from _spelled("delete the text of the prompt in use", "DELETE", untagged, text, held=True)
    # One version that says so makes MLflow's search leave out its model, with all versions, for ever.
    is_prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    planted = {"name": model, "source": "prompt-template", "tags": [is_prompt]}
    yield from _spelled("register a prompt in a model", "POST", "mlflow/model-versions/create", planted)
    for what, path, whose in (
        ("a version", "mlflow/model-versions", {"name": model, "version": "2"}),
        ("a model", "mlflow/registered-models", {"name": model}),
    ):
        yield from _spelled(f"call {what} a prompt", "POST", f"{path}/set-tag", {**whose, **is_prompt})
        untag = {**whose, "key": is_prompt["key"]}
        yield from _spelled(f"take the mark of a prompt off {what}", "DELETE", f"{path}/delete-tag", untag)


def _plain(
    what: str,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    form: str = "",
    expected: str = GOES_ON,
    without: tuple[str, ...] = (),
) -> Attempt:
    content = b"" if body is None else json.dumps(body).encode()
    return Attempt(what, form, expected, method, API + path, content, without=without)


def _spelled(what: str, method: str, path: str, body: Mapping[str, Any], *, held: bool = False) -> Iterator[Attempt]:
    """One request, to be refused, in the forms in which MLflow takes any request."""
    content = json.dumps(body).encode()
    below = path.split("/", 1)[1]
    area = path.split("/", 1)[0]
    forms = {
        "": API + path,
        "MLflow's pages": PAGES + path,
        "two slashes in front": f"/{API}{path}",
        "two slashes between": f"{API}{area}//{below}",
        "a letter encoded": f"{API}{area}/%{ord(below[0]):02x}{below[1:]}",
    }
    for form, target in forms.items():
        yield Attempt(what, form, REFUSED, method, target, content, held)
    bodies = {
        "JSON within a JSON text": json.dumps(content.decode()).encode(),
        "a key said twice": b'{"name": "elsewhere", ' + content[1:] if body else content,
        "letters escaped": re.sub(rb'"[^"]*"', _escaped, content),
    }
    for form, said in bodies.items():
        yield Attempt(what, form, REFUSED, method, API + path, said, held)


def _escaped(text: re.Match[bytes]) -> bytes:
    return (
        b'"'
        + b"".join(b"\\u%04x" % letter if chr(letter).isalpha() else bytes([letter]) for letter in text[0][1:-1])
        + b'"'
    )
