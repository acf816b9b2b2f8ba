"""MLflow's own roles as a layer under the gate, through the API of its basic-auth app; for `manage.py mlflow_roles`.

From 3.17 on MLflow tells a registered model from its versions: anyone who has EDIT on the model and READ on the
versions may register and may not promote by stage. What that holds is not believed but tried, with an account and two
models that are removed again. No MLflow here: the calls are an administrator's, not the worker's.
"""

import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import requests

from mirror.identity import DEFAULT
from mirror.port import PROMPT_TAG, WORKSPACE_HEADER, Denied, NotFound, Refused, Unreachable, Unsigned

ENGINEERS, GATE = "countersign-engineers", "countersign-gate"
OLDEST = (3, 17)
HIGH = {"EDIT", "MANAGE"}
Grants = Mapping[str, str]
"""Kind of thing to the level on all of its kind."""


def wanted(experiments: str, *, in_workspace: bool) -> dict[str, Grants]:
    """Both roles. MLflow takes a model for a prompt as soon as it has a tag, which all who may edit it can set: so
    versions of prompts are closed to engineers as well, and the gate reads prompts, too. Where MLflow has workspaces,
    who makes a model needs USE of the workspace."""
    engineers = {"registered_model": "EDIT", "registered_model_version": "READ", "prompt_version": "READ"}
    if experiments != "none":
        engineers["experiment"] = experiments
    gate = {"registered_model": "MANAGE", "registered_model_version": "MANAGE", "experiment": "READ", "prompt": "READ"}
    use = {"workspace": "USE"} if in_workspace else {}
    return {ENGINEERS: engineers | use, GATE: gate | use}


class Administrator:
    """MLflow's API as its administrator."""

    def __init__(self, url: str, name: str, password: str, *, seconds: float = 15, workspace: str = "") -> None:
        self.url, self.name, self.seconds, self.named = url.rstrip("/"), name, seconds, workspace
        self._auth = (name, password)

    def call(self, method: str, path: str, api: str = "3.0", /, **values: Any) -> dict[str, Any]:
        """What MLflow answers. Raises Unsigned (401), Denied (403), NotFound (404), Refused (other answers) or
        Unreachable, each with a sentence."""
        answer = self._send(method, f"/api/{api}/mlflow/{path}", values)
        try:
            said = answer.json() if answer.content else {}
        except ValueError:
            said = {}
        if answer.status_code == 200 and isinstance(said, dict):
            return said
        words = str(said.get("message") or answer.text)[:300] if isinstance(said, dict) else answer.text[:300]
        if answer.status_code == 401:
            raise Unsigned(f"MLflow does not take the password of {self.name}.")
        if answer.status_code == 403:
            raise Denied(f"MLflow lets only an administrator do this, and {self.name} is none. MLflow said: {words}")
        if answer.status_code == 404:
            raise NotFound(words)
        raise Refused(f"MLflow answered {answer.status_code}: {words}")

    def version(self) -> str:
        return self._send("GET", "/version", {}).text.strip()

    def has_sign_in(self) -> bool:
        """Whether this is MLflow's basic-auth app; other plugins keep roles elsewhere."""
        try:
            self.call("GET", "users/current", "2.0")
        except NotFound:
            return False
        return True

    def has_workspaces(self) -> bool:
        try:
            return bool(self.call("GET", "server-info").get("workspaces_enabled"))
        except NotFound:
            return False

    def as_account(self, name: str, password: str) -> "Administrator":
        return Administrator(self.url, name, password, seconds=self.seconds, workspace=self.named)

    @property
    def workspace(self) -> str:
        """Where the grants are; without workspaces MLflow keeps all of them in its default one."""
        return self.named or DEFAULT

    def _send(self, method: str, path: str, values: Mapping[str, Any]) -> requests.Response:
        body: dict[str, Any] = {"params" if method == "GET" else "json": values} if values else {}
        try:
            return requests.request(
                method, self.url + path, auth=self._auth, timeout=self.seconds, allow_redirects=False,
                headers={WORKSPACE_HEADER: self.named} if self.named else None,
                verify=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True, **body,
            )  # fmt: skip
        except requests.RequestException as error:
            raise Unreachable(f"MLflow at {self.url} cannot be reached ({type(error).__name__}).") from error


class Unfit(Exception):
    """This MLflow has no such roles; the message says why and what instead."""


def confirm_fit(mlflow: Administrator) -> None:
    """Raises Unfit for an MLflow without basic-auth or before 3.17, and a RegistryError where it does not answer."""
    version = mlflow.version()
    if not mlflow.has_sign_in():
        raise Unfit(
            f"MLflow at {mlflow.url} does not run its basic-auth app, so it has no roles: anybody who reaches it may "
            "write. Start it with --app-name basic-auth, or close it with the gate's plugin (docs/enforcement.md)."
        )
    if mlflow.has_workspaces() != bool(mlflow.named):
        words = f"names {mlflow.named}, and MLflow has no" if mlflow.named else "is not set, and MLflow has"
        raise Unfit(f"COUNTERSIGN_MLFLOW_WORKSPACE {words} workspaces.")
    found = re.match(r"(\d+)\.(\d+)", version)
    if not found or (int(found[1]), int(found[2])) < OLDEST:
        raise Unfit(
            f"MLflow at {mlflow.url} is {version[:20]}. Before 3.17 anyone who may register a version may also promote "
            "it, so roles hold nothing. The gate's plugin does (docs/enforcement.md)."
        )


class Work:
    """Makes what is missing and says each step; with `is_dry`, says it and makes nothing."""

    def __init__(self, mlflow: Administrator, *, is_dry: bool, say: Callable[[str], None]) -> None:
        self.mlflow, self.is_dry, self.say = mlflow, is_dry, say

    def role(self, name: str, grants: Grants) -> None:
        """A grant does not overwrite another in MLflow, so one of another level is changed. What a person added to
        the role stays, and is said."""
        there = next((role for role in self._roles() if role["name"] == name), None)
        if there is None:
            self._step(f"role {name}", "make it", "made")
            if self.is_dry:
                there = {"id": 0, "permissions": []}
            else:
                there = self.mlflow.call("POST", "roles/create", name=name, workspace=self.mlflow.workspace)["role"]
        on_all = {grant["resource_type"]: grant for grant in there["permissions"] if grant["resource_pattern"] == "*"}
        for kind, level in grants.items():
            self._grant(name, there["id"], kind, level, on_all.get(kind))
        for grant in there["permissions"]:
            if grant["resource_pattern"] != "*" or grant["resource_type"] not in grants:
                what = f"{grant['resource_type']} {grant['permission']} on {grant['resource_pattern']}"
                self.say(f"role {name}: has {what} besides, which stays.")

    def _grant(self, role: str, number: int, kind: str, level: str, held: dict[str, Any] | None) -> None:
        if held is None:
            self._step(f"role {role}", f"add {kind} {level}", f"added {kind} {level}")
            if not self.is_dry:
                self.mlflow.call(
                    "POST", "roles/permissions/add",
                    role_id=number, resource_type=kind, resource_pattern="*", permission=level,
                )  # fmt: skip
        elif held["permission"] != level:
            change = f"{kind} from {held['permission']} to {level}"
            self._step(f"role {role}", f"change {change}", f"changed {change}")
            if not self.is_dry:
                self.mlflow.call("PATCH", "roles/permissions/update", role_permission_id=held["id"], permission=level)
        else:
            self.say(f"role {role}: has {kind} {level}.")

    def account(self, name: str, password: str) -> None:
        """Makes it, or gives it this password where it has another one. Raises Unfit where it is not there and no
        password is given."""
        there = next((user for user in self.users() if user["username"] == name), None)
        if there:
            self.say(f"account {name}: is there.")
            if password and not there["is_admin"] and not self._signs_in(name, password):
                self._step(f"account {name}", "give it the password that is set", "given the password that is set")
                if not self.is_dry:
                    self.mlflow.call("PATCH", "users/update-password", "2.0", username=name, password=password)
            return
        if not password:
            raise Unfit(f"There is no account {name} in MLflow; set MLFLOW_TRACKING_PASSWORD, and it is made.")
        self._step(f"account {name}", "make it", "made")
        if not self.is_dry:
            self.mlflow.call("POST", "users/create", "2.0", username=name, password=password)

    def _signs_in(self, name: str, password: str) -> bool:
        try:
            self.mlflow.as_account(name, password).call("GET", "users/current", "2.0")
        except Unsigned:
            return False
        return True

    def assign(self, account: str, role: str) -> None:
        """Raises Unfit for an account that is not there."""
        user = next((user for user in self.users() if user["username"] == account), None)
        if user is None and not self.is_dry:
            raise Unfit(f"There is no account {account} in MLflow.")
        if user and role in (each["name"] for each in self._held(user)):
            self.say(f"account {account}: has the role {role}.")
            return
        self._step(f"account {account}", f"give it the role {role}", f"given the role {role}")
        if not self.is_dry:
            number = next(each["id"] for each in self._roles() if each["name"] == role)
            self.mlflow.call("POST", "roles/assign", username=account, role_id=number)

    def users(self) -> list[dict[str, Any]]:
        return list(self.mlflow.call("GET", "users/list", "2.0")["users"])

    def beyond(self, gate: str) -> list[str]:
        """Sentences about who is not held by the role: administrators, those without it, grants that outdo it."""
        admins, without, above = [], [], []
        for user in self.users():
            name, roles = user["username"], self._held(user)
            grants = [grant for role in roles if role["name"] != GATE for grant in role["permissions"]]
            if user["is_admin"]:
                admins.append(name)
            elif name == gate:
                continue
            elif any(
                grant["permission"] in HIGH and grant["resource_type"] in {"registered_model_version", "workspace"}
                for grant in grants
            ):
                above.append(name)
            elif ENGINEERS not in (role["name"] for role in roles):
                without.append(name)
        return [
            f"{words}: {_listed(names)}."
            for words, names in (
                ("Administrators may do everything", admins),
                ("Have another grant that lets them change versions", above),
                (f"Without the role {ENGINEERS}, may change versions of each model they may edit", without),
            )
            if names
        ]

    def _held(self, user: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The roles that the person has in this workspace; one of another workspace may have the same name."""
        return [role for role in user["roles"] if role["workspace"] == self.mlflow.workspace]

    def _roles(self) -> Sequence[dict[str, Any]]:
        return list(self.mlflow.call("GET", "roles/list", workspace=self.mlflow.workspace)["roles"])

    def _step(self, what: str, would: str, done: str) -> None:
        self.say(f"{what}: would {would}." if self.is_dry else f"{what}: {done}.")


@dataclass(frozen=True, slots=True)
class Tried:
    what: str
    is_open: bool
    """A person with the role may do it, on another's model or on one of their own."""
    only_own: bool
    is_right: bool
    """As this layer promises it; else something about this MLflow undoes the roles."""


Call = tuple[str, str, Mapping[str, object]]
VERSION = {"version": "1"}
ALIAS = {"alias": "champion"}
STAGE: Call = (
    "POST", "model-versions/transition-stage", VERSION | {"stage": "Production", "archive_existing_versions": False}
)  # fmt: skip
REGISTER: Call = ("POST", "model-versions/create", {"source": "s3://nothing/here"})

ACTS: Sequence[tuple[str, bool, Sequence[Call]]] = (
    # What; whether the layer holds it; the calls. In this order, because the last ones end the model.
    ("Register a version", False, [REGISTER]),
    ("Move a stage", True, [STAGE]),
    ("Change a version's description", True, [("PATCH", "model-versions/update", VERSION | {"description": "x"})]),
    ("Set a version's tag", True, [("POST", "model-versions/set-tag", VERSION | {"key": "x", "value": "x"})]),
    ("Delete a version's tag", True, [("DELETE", "model-versions/delete-tag", VERSION | {"key": "x"})]),
    ("Delete a version", True, [("DELETE", "model-versions/delete", VERSION)]),
    ("Set or move an alias", False, [("POST", "registered-models/alias", VERSION | ALIAS)]),
    ("Delete an alias", False, [("DELETE", "registered-models/alias", ALIAS)]),
    ("Delete the model", True, [("DELETE", "registered-models/delete", {})]),
    ("Rename the model", False, [("POST", "registered-models/rename", {"new_name": "{other}"})]),
    (
        "Mark the model as a prompt, then move a stage", True,
        [("POST", "registered-models/set-tag", {"key": PROMPT_TAG, "value": "true"}), STAGE],
    ),
)  # fmt: skip


def try_out(mlflow: Administrator) -> list[Tried]:
    """What a person with the engineers' role may do, on a model of their own and on another's. Raises a RegistryError
    where the trial itself cannot be made."""
    with _trial(mlflow) as (engineer, models):
        rows = []
        for what, holds, calls in ACTS:
            allowed = [_is_allowed(engineer, calls, model) for model in models]
            right = not any(allowed) if holds else what != ACTS[0][0] or all(allowed)
            rows.append(Tried(what, any(allowed), any(allowed) and not all(allowed), right))
        return rows


@contextmanager
def _trial(mlflow: Administrator) -> Iterator[tuple[Administrator, Sequence[str]]]:
    """An account with the engineers' role and two models with a version each, its own and the administrator's. The
    names are a canary's, so that neither the mirror nor the watch sees them. All of it is removed again."""
    account, password = f"countersign-trial-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    models = [f"countersign-canary-{secrets.token_hex(4)}" for _ in range(2)]
    work = Work(mlflow, is_dry=False, say=lambda _: None)
    work.account(account, password)
    engineer = mlflow.as_account(account, password)
    try:
        work.assign(account, ENGINEERS)
        for who, model in zip((engineer, mlflow), models, strict=True):
            who.call("POST", "registered-models/create", "2.0", name=model)
            who.call(REGISTER[0], REGISTER[1], "2.0", name=model, **REGISTER[2])
        yield engineer, models
    finally:
        for name in (*models, *map(_other, models)):
            with suppress(NotFound):
                mlflow.call("DELETE", "registered-models/delete", "2.0", name=name)
        mlflow.call("DELETE", "users/delete", "2.0", username=account)


def _is_allowed(engineer: Administrator, calls: Sequence[Call], model: str) -> bool:
    for method, path, values in calls:
        names = {key: _other(model) if value == "{other}" else value for key, value in values.items()}
        try:
            engineer.call(method, path, "2.0", name=model, **names)
        except Denied:
            return False
        except (NotFound, Refused):
            continue  # the right was there, and something else was not
        if "new_name" in names:
            engineer.call(method, path, "2.0", name=_other(model), new_name=model)
    return True


def _other(model: str) -> str:
    """A canary's name, too."""
    stem, token = model.rsplit("-", 1)
    return f"{stem}-{token[::-1]}"


def _listed(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more
