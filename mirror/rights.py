"""Tries each right that delivery, rollback and put-back need, on a canary model, and says what is missing. For
`manage.py check_mlflow` alone; the result is kept for the pages.

The account owns the canary that it makes, and an owner may do everything. So each right that MLflow gives to owners
alone is tried on the models that are mirrored too, by deleting what is not there.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from mirror import clock, identity
from mirror.models import ModelVersion, SetupCheck
from mirror.port import CANARY, NotFound, Registry, RegistryError, Unreachable
from mirror.sign_in import SignIn

NOBODYS = "countersign.canary"
"""Name of the tag and alias that are tried; no version of a real model has them."""

MODELS_TRIED = 25


class Level(StrEnum):
    GOOD = "good"
    NOTE = "note"
    """Not a hindrance, but to be known."""
    BAD = "bad"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    level: Level
    words: str = ""
    remedy: str = ""


class Trial:
    """One run; `rows` fills as it goes."""

    def __init__(self, registry: Registry, *, model: str = "", version: int = 1) -> None:
        self.registry, self.rows = registry, list[Row]()
        self.given, self.version = model, version
        self.account = SignIn.now().username or "the service account"

    def run(self) -> list[Row]:
        """All rows in order. Raises ValueError for a model that is no canary."""
        if self.given and not CANARY.fullmatch(self.given):
            raise ValueError(
                f"{self.given} is not a canary: its stage would be moved. Make a registered model countersign-canary "
                "with one version, and name that."
            )
        if self._try("MLflow answers", self._server) is None:
            return self.rows
        self._identity()
        self._clock()
        self._workspace()
        self._try("Read experiments and runs", self._runs)
        with self._canary() as canary:
            if canary:
                self._use(*canary)
                self._unsigned(*canary)
        self._owned()
        return self.rows

    @property
    def is_good(self) -> bool:
        return all(row.level != Level.BAD for row in self.rows)

    # --- Where it is

    def _server(self) -> str:
        server = self.registry.ping()
        return f"Version {server.version}, in {server.latency_ms:.0f} ms, at {self.registry.address}."

    def _identity(self) -> None:
        what = "This is the registry that is mirrored"
        try:
            identity.confirm(self.registry)
        except identity.AnotherRegistry as error:
            self._add(what, Level.BAD, error.message, identity.REMEDY)
            return
        except RegistryError as error:
            self._refused(what, error)
            return
        known = identity.known()
        if reason := known.get("not_kept"):
            self._add(
                what, Level.NOTE, f"MLflow lets no identity be kept: {reason}",
                f"Give {self.account} EDIT on the experiment Default, or let it create experiments. Until then "
                "another server can be recognized only by its content.",
            )  # fmt: skip
        else:
            self._add(what, Level.GOOD, f"Identity {known['key'][:8]}….")

    def _clock(self) -> None:
        what, skew = "MLflow's clock", self.registry.clock_skew()
        if skew is None:
            self._add(what, Level.NOTE, "MLflow's answers have no Date header; its clock cannot be compared.")
            return
        skew += clock.skew()
        far = abs(skew) > clock.MOST_SECONDS
        words = f"{abs(skew):.0f} seconds {'ahead of' if skew > 0 else 'behind'} the database's."
        self._add(what, Level.BAD if far else Level.GOOD, words, "Synchronize all hosts with NTP." if far else "")

    def _workspace(self) -> None:
        named = self.registry.workspace
        words = f"COUNTERSIGN_MLFLOW_WORKSPACE names {named}." if named else "COUNTERSIGN_MLFLOW_WORKSPACE names none."
        self._add("Workspace", Level.GOOD, words)

    def _runs(self) -> str:
        run = self.registry.newest_run()
        if not run:
            return "MLflow shows no run to this account, if it has any."
        self.registry.runs([run])
        return "The newest run was read."

    # --- The canary

    @contextlib.contextmanager
    def _canary(self) -> Iterator[tuple[str, list[int]] | None]:
        """A canary with its versions, two where they could be made; None when there is none."""
        if self.given:
            yield self.given, [self.version]
            return
        name = f"countersign-canary-{secrets.token_hex(4)}"
        hint = (
            "Or let an administrator make a registered model countersign-canary with a version, and run check_mlflow "
            "--model countersign-canary --version 1."
        )
        if self._try("Create a model", lambda: self.registry.create_model(name), remedy=hint) is None:
            yield None
            return
        try:
            numbers = [
                number
                for what in ("Create a version", "Create a second version")
                if (number := self._try(what, lambda: self.registry.create_version(name), remedy=hint)) is not None
            ]
            yield (name, numbers) if numbers else None
        finally:
            left = f"The model {name} is left over: delete it in MLflow. It is not mirrored."
            self._try("Delete the model", lambda: self.registry.delete_model(name), remedy=left)

    def _use(self, name: str, numbers: list[int]) -> None:
        registry, first, last = self.registry, numbers[0], numbers[-1]
        self._try("Read a model", lambda: registry.model(name))
        if self._try("Read a version", lambda: registry.version(name, first)) is None:
            return
        before = registry.version(name, last)
        self._try("List versions", lambda: list(registry.versions(model=name)))
        self._try("Set a description", lambda: registry.set_description(name, first, "Tried by check_mlflow."))
        self._try("Set a tag", lambda: registry.set_tag(name, first, NOBODYS, "1"))
        self._try("Delete a tag", lambda: registry.delete_tag(name, first, NOBODYS), grant="MANAGE")
        self._try("Set a stage", lambda: registry.set_stage(name, first, "Production", archive_existing=False))
        self._try("Set a stage, archiving what is there", lambda: self._archive(name, numbers), remedy="")
        self._try("Set the stage back", lambda: registry.set_stage(name, last, before.stage, archive_existing=False))
        self._try("Set an alias", lambda: registry.set_alias(name, NOBODYS.replace(".", "-"), first))
        alias = NOBODYS.replace(".", "-")
        self._try("Delete an alias", lambda: registry.delete_alias(name, alias), grant="MANAGE")

    def _archive(self, name: str, numbers: list[int]) -> str:
        first, last = numbers[0], numbers[-1]
        self.registry.set_stage(name, last, "Production", archive_existing=True)
        if first == last:
            return "Accepted; there was no second version to archive."
        stages = self.registry.version(name, first).stage, self.registry.version(name, last).stage
        if stages != ("Archived", "Production"):
            raise RegistryError(f"MLflow took the change but shows {stages[0]} and {stages[1]}.")
        return ""

    def _unsigned(self, name: str, numbers: list[int]) -> None:
        what = "No writing without sign-in"
        try:
            # No tag of Countersign's: of those, a gate refuses it no matter who asks, and sign-in would not be seen.
            self.registry.unsigned().set_tag(name, numbers[0], "canary", "without a name")
        except Unreachable as error:
            self._add(what, Level.NOTE, f"Could not be tried: {error.message}")
        except RegistryError:
            self._add(what, Level.GOOD)
        else:
            self._add(
                what, Level.NOTE, "Anybody who reaches MLflow can change versions without signing in.",
                "Let only Countersign and a proxy with sign-in reach MLflow, or start it with --app-name basic-auth.",
            )  # fmt: skip

    def _owned(self) -> None:
        """On real models, whose owner is another person."""
        what = "The same on the models that are mirrored"
        rows = ModelVersion.objects.filter(deleted_at=None, model__deleted_at=None).order_by("-last_updated_at")
        newest: dict[str, int] = {}
        for name, number in rows.values_list("model__name", "number").iterator(chunk_size=500):
            newest.setdefault(name, number)
            if len(newest) == MODELS_TRIED:
                break
        refused: dict[str, RegistryError] = {}
        for name, number in newest.items():
            try:
                self.registry.delete_tag(name, number, NOBODYS)
                self.registry.delete_alias(name, NOBODYS.replace(".", "-"))
            except NotFound:
                continue
            except RegistryError as error:
                refused[name] = error
        if refused:
            listed = ", ".join(sorted(refused)[:5]) + (f" and {len(refused) - 5} more" if len(refused) > 5 else "")
            first = next(iter(refused.values()))
            self._refused(what, first, grant="MANAGE", where=f"{len(refused)} of {len(newest)} models ({listed})")
        elif newest:
            tried = f"Deleting a tag and an alias that are not there was allowed on {len(newest)} of them."
            self._add(what, Level.GOOD, tried)
        else:
            self._add(what, Level.SKIPPED, "No model is mirrored yet.")

    # --- Rows

    def _try(self, what: str, call: Callable[[], Any], *, grant: str = "EDIT", remedy: str = "") -> Any:
        """The call's answer, True where it has none; None when it was refused."""
        try:
            answer = call()
        except RegistryError as error:
            self._refused(what, error, grant=grant, remedy=remedy)
            return None
        self._add(what, Level.GOOD, answer if isinstance(answer, str) else "")
        return True if answer is None or answer == "" else answer

    def _refused(
        self, what: str, error: RegistryError, *, grant: str = "READ", where: str = "", remedy: str = ""
    ) -> None:
        words = f"On {where}: {error.message}" if where else error.message
        self._add(what, Level.BAD, words, " ".join(filter(None, [self._remedy(error, grant), remedy])))

    def _remedy(self, error: RegistryError, grant: str) -> str:
        message = error.message.lower()
        if "integer <> character varying" in message:
            return (
                "MLflow's database driver is psycopg 3, with which MLflow cannot archive: install psycopg2 beside "
                "MLflow and begin its --backend-store-uri with postgresql+psycopg2://."
            )
        if "not authenticated" in message or "401" in message or "unauthorized" in message:
            return (
                "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, for worker and "
                "commands."
            )
        if "permission denied" in message or "403" in message or "forbidden" in message:
            more = " (EDIT is not enough for deleting a tag or an alias)" if grant == "MANAGE" else ""
            return f"Under MLflow's basic-auth, give {self.account} {grant}{more} on the registered models."
        return ""

    def _add(self, what: str, level: Level, words: str = "", remedy: str = "") -> None:
        self.rows.append(Row(what, level, words, remedy))


def keep(trial: Trial, at: datetime) -> None:
    """Keeps the result for System and /readyz; the newest alone."""
    values = {"at": at, "rows": [asdict(row) for row in trial.rows], "is_good": trial.is_good}
    SetupCheck.objects.update_or_create(pk=1, defaults=values)
