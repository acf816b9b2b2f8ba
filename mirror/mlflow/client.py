"""The registry port over MLflow's REST API: the only module of the product that imports MLflow, for worker and
commands.

MLflow's own `http_request` sends the requests, so its TLS and proxy settings, its plugins for authentication and
~/.mlflow/credentials work as everywhere else; user, password and token are ours (`mirror.sign_in`). The answers are
read as plain JSON: MlflowClient asks for the model before each write to a version, and building its entities takes
longer than the server needs for a page.
"""

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

import requests
from django.conf import settings
from urllib3.exceptions import ConnectTimeoutError, HTTPError, ReadTimeoutError

from mirror.mlflow import artifacts, foreign_answers, granting, nan_metrics, parsing
from mirror.mlflow.setup import MlflowSetup
from mirror.port import (
    REFUSED_SIGN_IN,
    UNASKED,
    WORKSPACE_HEADER,
    WRONG_WORKSPACE,
    ArtifactFile,
    Denied,
    Grounds,
    LoggedModelFacts,
    ModelSnapshot,
    NotFound,
    Refused,
    RegistryError,
    RunFacts,
    ServerInfo,
    Unreachable,
    Unsigned,
    VersionSnapshot,
    is_served,
    served_path,
)
from mirror.sign_in import SignIn

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read by MLflow while it is imported

from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import MlflowHostCreds, http_request

API = "/api/2.0/mlflow/"
BY_NAME = ["name ASC", "version_number ASC"]
MAX_RETRIES = 1
"""One: a kept-alive connection that the server has closed meanwhile fails at once. Every call is idempotent by
value."""

FACTS_BATCH = 400
"""Ids in one IN (...): MLflow's filter parser gives up at some thousand tokens."""

HISTORY_PAGE = 10_000

FEW = 3
"""Up to so many runs or LoggedModels are asked for one by one; a search needs the list of experiments first."""

_VERSION = re.compile(r"\d[\w.+-]{0,39}")
_UNSTORABLE_JSON = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class MlflowRegistry(MlflowSetup):
    """Thread-safe: it holds no state but the address, and MLflow's session pools connections."""

    def __init__(self, url: str, *, timeout_seconds: float, is_signed: bool = True, workspace: str = "") -> None:
        self.url, self.timeout_seconds, self.is_signed = url.rstrip("/"), timeout_seconds, is_signed
        self.workspace = workspace

    @classmethod
    def from_settings(cls) -> Self:
        return cls(
            settings.MLFLOW_TRACKING_URI,
            timeout_seconds=settings.MLFLOW_TIMEOUT_SECONDS,
            workspace=settings.MLFLOW_WORKSPACE,
        )

    def unsigned(self) -> "MlflowRegistry":
        return MlflowRegistry(self.url, timeout_seconds=self.timeout_seconds, is_signed=False, workspace=self.workspace)

    def _credentials(self, sign_in: SignIn) -> MlflowHostCreds:
        own = get_default_host_creds(self.url)
        if self.is_signed:
            own.username, own.password = sign_in.username or own.username, sign_in.password or own.password
            own.token = sign_in.token or own.token
            return own
        tls = {"ignore_tls_verification": own.ignore_tls_verification, "server_cert_path": own.server_cert_path}
        return MlflowHostCreds(own.host, **tls)

    # --- Reading the registry

    def ping(self) -> ServerInfo:
        started = time.perf_counter()
        response = self._send("GET", "/version")
        latency_ms = (time.perf_counter() - started) * 1000
        if response.status_code != 200:
            raise self._error(response)
        version = response.text.strip()
        if not _VERSION.fullmatch(version):
            raise Refused(self._stranger(response).message)  # for display alone: nothing else waits for it
        return ServerInfo(version=version, latency_ms=latency_ms)

    def models(self, *, page_size: int = 1000, name: str | None = None) -> Iterator[Sequence[ModelSnapshot]]:
        query: dict[str, Any] = {"max_results": page_size}
        if name is not None:
            query["filter"] = _named(name)
        for page in self._pages("GET", "registered-models/search", query, "registered_models"):
            with _understood():
                found = [parsing.model(raw) for raw in page if name in (None, raw["name"])]
            yield found

    def versions(
        self, *, page_size: int = 10_000, model: str | None = None, by_name: bool = False
    ) -> Iterator[Sequence[VersionSnapshot]]:
        query: dict[str, Any] = {"max_results": page_size}
        if by_name:
            query["order_by"] = BY_NAME
        if model is not None:
            query["filter"] = _named(model)
        for page in self._pages("GET", "model-versions/search", query, "model_versions"):
            with _understood():
                found = [parsing.version(raw) for raw in page if model in (None, raw["name"])]
            yield found

    def model(self, name: str) -> ModelSnapshot:
        answer = self._call("GET", "registered-models/get", {"name": name})
        with _understood():
            return parsing.model(answer["registered_model"])

    def version(self, model: str, number: int) -> VersionSnapshot:
        answer = self._call("GET", "model-versions/get", {"name": model, "version": str(number)})
        with _understood():
            return parsing.version(answer["model_version"])

    def versions_in_stage(self, model: str, stage: str) -> Sequence[VersionSnapshot]:
        found = [version for page in self.versions(model=model) for version in page] or self._one_by_one(model)
        return [version for version in found if version.stage == stage]

    def _one_by_one(self, model: str) -> list[VersionSnapshot]:
        """Every version of a model that MLflow's search leaves out."""
        found: list[VersionSnapshot] = []
        with suppress(NotFound):
            for number in range(1, max(self.model(model).latest, default=0) + 1):
                with suppress(NotFound):
                    found.append(self.version(model, number))
        return found

    # --- Reading runs and LoggedModels

    def runs(self, run_ids: Iterable[str]) -> Mapping[str, RunFacts | Denied]:
        denied: dict[str, Denied] = {}
        with _understood():
            return {facts.run_id: facts for facts in map(parsing.run, self._raw_runs(run_ids, denied))} | denied

    def _raw_runs(self, run_ids: Iterable[str], denied: dict[str, Denied] | None = None) -> Iterator[dict[str, Any]]:
        """`denied` takes those that may not be read."""
        denied = {} if denied is None else denied
        wanted, found = _plain(run_ids), set()
        if len(wanted) > FEW:
            for raw in self._matching("runs/search", wanted, "attributes.run_id", "runs", {"run_view_type": "ALL"}):
                found.add(raw["info"]["run_id"])
                yield raw
        left = [one for one in wanted if one not in found]  # a search leaves out what may not be read without a word
        yield from self._each("runs/get", left, "run", denied, in_query="run_id")

    def logged_models(self, ids: Iterable[str]) -> Mapping[str, LoggedModelFacts | Denied]:
        wanted, denied = _plain(ids), dict[str, Denied]()
        with _understood():
            searched = (
                self._matching("logged-models/search", wanted, "model_id", "models", {}) if len(wanted) > FEW else ()
            )
            read = [parsing.logged_model(raw) for raw in searched]
            found = {facts.logged_model_id for facts in read}
            left = [one for one in wanted if one not in found]
            read += [parsing.logged_model(raw) for raw in self._each("logged-models", left, "model", denied)]
        logged = nan_metrics.Logged(self._raw_runs, self._logged_values)
        return {facts.logged_model_id: facts for facts in nan_metrics.proven(read, logged)} | denied

    def _logged_values(self, run_id: str, key: str) -> Iterator[dict[str, Any]]:
        query = {"run_id": run_id, "metric_key": key, "max_results": HISTORY_PAGE}
        for page in self._pages("GET", "metrics/get-history", query, "metrics"):
            yield from page

    def _each(
        self, path: str, ids: Sequence[str], key: str, denied: dict[str, Denied], *, in_query: str = ""
    ) -> Iterator[dict[str, Any]]:
        for one in ids:
            try:
                answer = self._call("GET", path, {in_query: one}) if in_query else self._call("GET", f"{path}/{one}")
            except NotFound:
                continue
            except Unsigned:
                raise
            except Denied as error:
                denied[one] = error
                continue
            yield answer[key]

    def _matching(
        self, path: str, ids: Sequence[str], attribute: str, key: str, more: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        experiments = self._experiment_ids()
        if not experiments:
            return
        for start in range(0, len(ids), FACTS_BATCH):
            batch = ids[start : start + FACTS_BATCH]
            listed = ", ".join(f"'{one}'" for one in batch)
            query = {
                "experiment_ids": experiments,
                "filter": f"{attribute} IN ({listed})",
                "max_results": len(batch),
                **more,
            }
            for page in self._pages("POST", path, query, key):
                yield from page

    def _experiment_ids(self) -> list[str]:
        pages = self._pages("POST", "experiments/search", {"max_results": 5000, "view_type": "ALL"}, "experiments")
        return [raw["experiment_id"] for page in pages for raw in page]

    # --- Reading files

    def version_root(self, model: str, number: int) -> str:
        query = {"name": model, "version": str(number)}
        return str(self._call("GET", "model-versions/get-download-uri", query).get("artifact_uri", ""))

    def run_root(self, run_id: str) -> str:
        if not parsing.is_plain_id(run_id):
            raise NotFound(f"There is no run {run_id[:100]!r}.")
        return str(self._run(run_id)["info"].get("artifact_uri", ""))

    def _run(self, run_id: str) -> dict[str, Any]:
        answer = self._call("GET", "runs/get", {"run_id": run_id})
        with _understood():
            return dict(answer["run"])

    def artifacts(self, root: str) -> Iterator[ArtifactFile]:
        def served(folder: str) -> Iterator[tuple[str, bool, int | None]]:
            path = "/".join(part for part in (served_path(root), folder) if part)
            try:
                answer = self._read_json("GET", artifacts.API, {"path": path})
            except Refused as error:
                raise artifacts.refused(error, folder or path) from error
            for entry in answer.get("files", ()):
                below = f"{folder}/{entry['path']}" if folder else entry["path"]
                size = entry.get("file_size")
                yield below, bool(entry.get("is_dir")), None if size is None else int(size)

        if is_served(root):
            yield from artifacts.walk(served)
        else:
            yield from artifacts.walk(lambda folder: artifacts.list_elsewhere(root, folder))

    def read_artifact(self, root: str, path: str) -> Iterator[bytes]:
        if not is_served(root):
            yield from artifacts.read_elsewhere(root, path)
            return
        response = self._send("GET", artifacts.served_address(root, path), stream=True)
        with response:
            if response.status_code == 404:  # with MLflow's code, or without where a name cannot be routed
                raise NotFound(f"MLflow has no file {path!r} there.")
            if response.status_code != 200:
                error = self._error(response)
                raise artifacts.refused(error, path) if isinstance(error, Refused) else error
            try:
                # What has come so far: waiting for a full chunk, a server that drips would never let go of us.
                while chunk := response.raw.read1(artifacts.CHUNK, decode_content=True):
                    yield chunk
            except (HTTPError, OSError) as error:
                raise self._unanswered(error) from error

    def stepped_metrics(self, run_id: str) -> Sequence[str]:
        logged = self._run(run_id).get("data", {}).get("metrics", ())
        return sorted({each["key"] for each in logged if int(each.get("step", 0))})

    def metric_history(self, run_id: str, key: str, *, limit: int) -> Sequence[tuple[int, float]]:
        query = {"run_ids": run_id, "metric_key": key, "max_results": limit}
        found = self._call("GET", "metrics/get-history-bulk-interval", query).get("metrics", [])
        return sorted((int(each.get("step", 0)), float(each.get("value", 0))) for each in found)

    # --- Writing

    def set_description(self, model: str, number: int, description: str, *, grounds: Grounds = UNASKED) -> None:
        arguments = {"name": model, "version": str(number), "description": description}
        self._change("update_model_version", arguments, grounds)

    def set_tag(self, model: str, number: int, key: str, value: str, *, grounds: Grounds = UNASKED) -> None:
        arguments = {"name": model, "version": str(number), "key": key, "value": value}
        self._change("set_model_version_tag", arguments, grounds)

    def delete_tag(self, model: str, number: int, key: str, *, grounds: Grounds = UNASKED) -> None:
        self._change("delete_model_version_tag", {"name": model, "version": str(number), "key": key}, grounds)

    def set_stage(
        self, model: str, number: int, stage: str, *, archive_existing: bool, grounds: Grounds = UNASKED
    ) -> None:
        if archive_existing and stage.title() not in {
            "Staging",
            "Production",
        }:  # MLflow's answer is 500, as if it were ill
            raise Refused("Existing versions can be archived for Staging and Production only.")
        which = {"name": model, "version": str(number)}
        arguments = {**which, "stage": stage, "archive_existing_versions": archive_existing}
        self._change("transition_model_version_stage", arguments, grounds)

    def set_alias(self, model: str, alias: str, number: int, *, grounds: Grounds = UNASKED) -> None:
        arguments = {"name": model, "alias": alias, "version": str(number)}
        self._change("set_registered_model_alias", arguments, grounds)

    def delete_alias(self, model: str, alias: str, *, grounds: Grounds = UNASKED) -> None:
        self._change("delete_registered_model_alias", {"name": model, "alias": alias}, grounds)

    def _change(self, operation: str, arguments: Mapping[str, Any], grounds: Grounds = UNASKED) -> None:
        """By the name and the arguments of MLflow's own store: what is signed is what is executed."""
        method, path = granting.ROUTES[operation]
        headers = granting.headers(operation, arguments, grounds) if self.is_signed else {}
        self._call(method, path, arguments, headers=headers)

    # --- HTTP

    def _pages(self, method: str, path: str, query: dict[str, Any], key: str) -> Iterator[list[dict[str, Any]]]:
        while True:
            answer = self._call(method, path, query)
            yield answer.get(key, [])
            if not (token := answer.get("next_page_token")):
                return
            query = query | {"page_token": token}

    def _call(
        self,
        method: str,
        path: str,
        values: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        return self._read_json(method, API + path, values, headers=headers)

    def _read_json(
        self,
        method: str,
        path: str,
        values: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        response = self._send(method, path, values, headers=headers)
        if response.status_code != 200:
            raise self._error(response)
        try:
            answer = json.loads(response.content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._stranger(response)
        return _storable(answer) if _UNSTORABLE_JSON.search(response.content) else answer

    def _send(
        self,
        method: str,
        path: str,
        values: Mapping[str, Any] | None = None,
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        sign_in = SignIn.now()
        response = self._sent(sign_in, method, path, values, stream=stream, headers=headers)
        # A secret is being exchanged: what the files say now may be taken.
        if response.status_code == 401 and self.is_signed and (now := SignIn.now(anew=True)) != sign_in:
            response.close()
            response = self._sent(now, method, path, values, stream=stream, headers=headers)
        if elsewhere := foreign_answers.redirect(response):
            response.close()
            raise Unreachable(foreign_answers.words(self.url, elsewhere))
        return response

    def _sent(
        self,
        sign_in: SignIn,
        method: str,
        path: str,
        values: Mapping[str, Any] | None,
        *,
        stream: bool,
        headers: Mapping[str, str] | None,
    ) -> requests.Response:
        body: dict[str, Any] = {"params" if method == "GET" else "json": values} if values else {}
        place = {WORKSPACE_HEADER: self.workspace} if self.workspace else {}
        try:
            response: requests.Response = http_request(
                self._credentials(sign_in),
                path,
                method,
                max_retries=MAX_RETRIES,
                timeout=self.timeout_seconds,
                raise_on_status=False,
                respect_retry_after_header=False,
                stream=stream,
                extra_headers={**place, **(headers or {})},
                allow_redirects=False,  # a POST would become a GET, and a sign-in page an answer
                **body,
            )
        except MlflowException as error:
            raise self._unanswered(error.__context__ or error) from error
        return response

    def _stranger(self, response: requests.Response) -> Unreachable:
        what = foreign_answers.page(response) or "its answer does not sound like MLflow"
        return Unreachable(foreign_answers.words(self.url, what))

    def _unanswered(self, error: BaseException) -> Unreachable:
        # requests wraps urllib3's MaxRetryError, whose `reason` names the socket error; the rest is noise.
        reason = getattr(error.args[0] if error.args else None, "reason", None) or error
        if isinstance(reason, requests.Timeout | ReadTimeoutError) or type(reason) is ConnectTimeoutError:
            return Unreachable(f"MLflow at {self.url} did not answer within {self.timeout_seconds:g} seconds.")
        words = re.sub(r"^.*?\[Errno -?\d+\] |^<.*?>: |^\w+\(.*?\): ", "", str(reason)).strip("\"')( ")
        return Unreachable(f"MLflow at {self.url} cannot be reached: {words[:300] or type(reason).__name__}.")

    def _error(self, response: requests.Response) -> RegistryError:
        code, message = "", response.text.strip()[:500]
        try:
            answer = _storable(json.loads(response.content))
            code, message = str(answer.get("error_code", "")), str(answer.get("message", ""))
        except (ValueError, AttributeError):
            if "<" in message[:20]:  # a proxy's page
                message = ""
        status = response.status_code
        if status >= 500 or status in {408, 429}:
            return Unreachable(f"MLflow answered {status}: {message or response.reason}")
        if code == "RESOURCE_DOES_NOT_EXIST":
            if self.workspace and message.startswith(f"Workspace '{self.workspace}' not found"):
                return Unreachable(
                    f"{WRONG_WORKSPACE} no workspace {self.workspace}, which COUNTERSIGN_MLFLOW_WORKSPACE names."
                )
            return NotFound(message)
        if status == 404 and not code:
            return Unreachable(f"There is no MLflow registry at {self.url} (answer 404).")
        if status == 403 and (refused := granting.refusal(message, response.request.headers)):
            return refused
        if status in {401, 403}:
            words = _denied(status, response.request.method or "", response.url, message)
            return Unsigned(words) if status == 401 else Denied(words)
        return Refused(message or f"MLflow answered {status} {response.reason}.")


@contextmanager
def _understood() -> Iterator[None]:
    """An answer that lacks what MLflow's always have, such as a proxy's `{}`, is no answer."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreachable(f"MLflow's answer cannot be read ({type(error).__name__}: {str(error)[:200]}).") from error


_RIGHTS = {
    # end of the path: what the account may not do, and the right that MLflow's basic-auth app asks for
    ("POST", "model-versions/transition-stage"): ("move a version's stage", "EDIT on the registered model"),
    ("POST", "registered-models/alias"): ("set an alias", "EDIT on the registered model"),
    ("DELETE", "registered-models/alias"): ("delete an alias", "MANAGE on the registered model"),
    ("PATCH", "model-versions/update"): ("write a version's description", "EDIT on the registered model"),
    ("POST", "model-versions/set-tag"): ("set a version's tag", "EDIT on the registered model"),
    ("DELETE", "model-versions/delete-tag"): ("delete a version's tag", "MANAGE on the registered model"),
}


def _denied(status: int, method: str, url: str, said: str) -> str:
    said = f" MLflow said: {said}" if said else ""
    if status == 401:
        return (
            f"{REFUSED_SIGN_IN} of Countersign's account (401): MLFLOW_TRACKING_USERNAME and "
            f"MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, of the worker are missing, wrong or expired.{said}"
        )
    path = url.partition("?")[0]
    found = (words for (verb, end), words in _RIGHTS.items() if verb == method and path.endswith(end))
    may_not, right = next(found, ("read this", "READ"))
    return f"MLflow does not let Countersign's account {may_not} (403): it needs {right}.{said}"


def _named(model: str) -> str:
    """A filter for the model of this name. MLflow's grammar cannot escape a quote, so names with one are matched by
    LIKE with a wildcard in its place, and the caller compares."""
    if "'" not in model:
        return f"name = '{model}'"
    pattern = model.replace("'", "_").replace("\\", "_")
    return f"name LIKE '{pattern}'"


def _plain(ids: Iterable[str]) -> list[str]:
    return [one for one in dict.fromkeys(ids) if parsing.is_plain_id(one)]


def _storable(value: Any) -> Any:
    """The same with NUL and lone surrogates replaced by U+FFFD: PostgreSQL cannot store them."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_storable(key): _storable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_storable(each) for each in value]
    return value
