"""What a call of MLflow's store would do to what Countersign guards: one function a method, each of which only reads.

GUARDED, FREE, READS and COMPOSED name every public method of MLflow's store. A method that is on none of them came with
a newer MLflow; nobody looked at it yet, so it is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlflow.exceptions import MlflowException

from mlflow_gate import notes
from mlflow_gate.grants import STAGES
from mlflow_gate.policy import DEFAULT_WORKSPACE, ENFORCE, Guarded, Policy, Rule, fold, key_of

FACTS = "countersign."
"""Tags that begin with it say what was approved; Countersign alone writes them."""
IS_PROMPT = "mlflow.prompt.is_prompt"
"""On one version it hides all versions of the model from MLflow's search, on a model it makes a prompt of it."""
PROMPT_CONTENT = ("mlflow.prompt.", "_mlflow_prompt_")
"""Tags in which MLflow keeps what a prompt says."""


@dataclass(frozen=True)
class Touched:
    """Something guarded that a call would change."""

    rule: Rule
    place: str
    """`stage:Production`, `alias:champion`, `note`, `tag:countersign.request`, `webhook`, `method:…`."""
    sentence: str
    """Why not, without a full stop."""
    model: str = ""
    version: int | None = None
    can_be_asked: bool = False
    """Whether a request for promotion is what would make it possible."""


class Registry:
    """Reads of one store, past the guard. What MLflow answers to nonsense, its errors too, is MLflow's."""

    def __init__(self, store: Any, plain: type) -> None:
        self._store, self._plain = _on_primary(store, plain), plain

    @property
    def workspace(self) -> str:
        active = getattr(self._store, "_get_active_workspace", None)
        return str(active()) if active else DEFAULT_WORKSPACE

    def model(self, name: str) -> Any:
        return self._plain.get_registered_model(self._store, name)  # type: ignore[attr-defined]

    def version(self, name: str, number: Any) -> Any:
        """With its stage and its aliases."""
        return self._plain.get_model_version(self._store, name, number)  # type: ignore[attr-defined]

    def stored_name(self, name: str) -> str:
        """As MLflow's database has it, which may find a model under more spellings than one."""
        try:
            return str(self.model(name).name)
        except MlflowException:
            return name

    def with_alias(self, name: str, alias: str) -> list[int]:
        """The version, or none."""
        aliases = self.model(name).aliases
        return sorted({int(number) for each, number in aliases.items() if fold(each) == fold(alias)})

    def in_stage(self, name: str, stage: str) -> list[int]:
        """All versions, which are several where nobody archived the ones before."""
        return sorted(int(each.version) for each in self.versions(name) if each.current_stage == stage)

    def versions(self, name: str) -> list[Any]:
        """MLflow's search finds none at all of a model of which one version is tagged as a prompt, or whose name is
        spelled another way here: then each number is looked at, up to the latest one."""
        listed = self._search(name)
        if listed:
            return listed
        latest = self._plain.get_latest_versions(self._store, name)  # type: ignore[attr-defined]
        numbers = range(1, max((int(each.version) for each in latest), default=0) + 1)
        return [version for number in numbers for version in self._version_if_there(name, number)]

    def _search(self, name: str) -> list[Any]:
        quote = '"' if "'" in name else "'"
        found: list[Any] = []
        token = None
        try:
            while True:
                page = self._plain.search_model_versions(  # type: ignore[attr-defined]
                    self._store, f"name = {quote}{name}{quote}", max_results=10_000, page_token=token
                )
                found += [each for each in page if each.name == name]
                token = page.token
                if not token:
                    return found
        except MlflowException:
            return []  # a name that MLflow's own filter cannot say

    def _version_if_there(self, name: str, number: int) -> list[Any]:
        try:
            return [self.version(name, number)]
        except MlflowException:
            return []


def _on_primary(store: Any, plain: type) -> Any:
    """The store, or one like it that reads where it writes: MLflow's own reads may come from a replica, which lags."""
    if getattr(store, "read_engine", None) is None:
        return store
    twin: Any = object.__new__(plain)
    twin.__dict__.update(store.__dict__)
    twin.__dict__["ManagedSessionMaker"] = functools.partial(store.ManagedSessionMaker, read_only=False)
    return twin


@dataclass(frozen=True)
class Call:
    """One call of a method of the store, before it is made."""

    operation: str
    arguments: Mapping[str, Any]
    registry: Registry
    policy: Policy

    @property
    def name(self) -> str:
        return str(self.arguments.get("name", ""))

    @property
    def number(self) -> int | None:
        """None where MLflow will say that it is no number."""
        try:
            return int(str(self.arguments.get("version")))
        except ValueError:
            return None

    def guarded(self, model: str) -> Mapping[str, Guarded]:
        return self.policy.guarded(self.registry.workspace, model)

    def facts(self, model: str) -> Rule | None:
        return self.policy.facts(self.registry.workspace, model)

    def held(self, version: Any, sentence: str) -> Iterator[Touched]:
        """The guarded places that a version holds."""
        guarded = self.guarded(version.name)
        for place in (f"stage:{version.current_stage}", *(f"alias:{alias}" for alias in version.aliases)):
            found = guarded.get(key_of(place))
            if found:
                yield Touched(
                    rule=found.rule,
                    place=found.place,
                    sentence=sentence.format(place=shown(found.place)),
                    model=version.name,
                    version=int(version.version),
                )


Judge = Callable[[Call], Iterator[Touched]]


def shown(place: str) -> str:
    """Production, @champion."""
    kind, _, name = place.partition(":")
    return f"@{name}" if kind == "alias" else name


def is_fact(key: str) -> bool:
    return fold(key).startswith(FACTS)


def is_free(call: Call) -> bool:
    """Whether what it changes is guarded nowhere, whatever is held, so that it waits for nobody."""
    if call.operation in ("create_registered_model", "create_model_version"):
        return True  # nothing new holds anything
    if call.operation in ("set_registered_model_alias", "delete_registered_model_alias"):
        return not call.policy.names(f"alias:{call.arguments['alias']}")
    return not fold(str(call.arguments.get("key", FACTS))).startswith((FACTS, *PROMPT_CONTENT))


# --- Stages and aliases


def stage_moved(call: Call) -> Iterator[Touched]:
    """Into a guarded stage, and out of one: a version that leaves Production changes what serves, too."""
    stage = STAGES.get(str(call.arguments["stage"]).lower())
    if stage is None:
        return  # MLflow refuses a stage that it does not know
    version = call.registry.version(call.name, call.arguments["version"])
    guarded = call.guarded(version.name)
    into, out_of = (guarded.get(key_of(f"stage:{each}")) for each in (stage, version.current_stage))
    subject = f"{version.name} version {version.version}"
    if into:
        sentence = f"{subject} cannot be moved to {shown(into.place)} here"
        yield Touched(into.rule, into.place, sentence, version.name, call.number, can_be_asked=True)
    if out_of and out_of is not into:
        sentence = f"{subject} cannot be taken out of {shown(out_of.place)} here"
        yield Touched(out_of.rule, out_of.place, sentence, version.name, call.number)


def alias_set(call: Call) -> Iterator[Touched]:
    name, found = _guarded_alias(call)
    if found:
        sentence = f"{name} version {call.number} cannot be made {shown(found.place)} here"
        yield Touched(found.rule, found.place, sentence, name, call.number, can_be_asked=True)


def alias_deleted(call: Call) -> Iterator[Touched]:
    name, found = _guarded_alias(call)
    if found:
        yield Touched(found.rule, found.place, f"{shown(found.place)} of {name} cannot be deleted here", name)


def _guarded_alias(call: Call) -> tuple[str, Guarded | None]:
    """The model as MLflow has it, and its alias; None where that is free. Nothing is read for an alias that no model
    has guarded."""
    place = f"alias:{call.arguments['alias']}"
    if not call.policy.names(place):
        return call.name, None
    name = call.registry.stored_name(call.name)
    return name, call.guarded(name).get(key_of(place))


# --- What Countersign writes on a version


def described(call: Call) -> Iterator[Touched]:
    """The engineer's own text is free."""
    version = call.registry.version(call.name, call.arguments["version"])
    rule = call.facts(version.name)
    if rule and not notes.same(version.description, call.arguments.get("description")):
        sentence = f"The approval note of {version.name} version {version.version} is written by Countersign alone"
        yield Touched(rule, "note", sentence, version.name, call.number)


def version_tagged(call: Call) -> Iterator[Touched]:
    key = str(call.arguments["key"])
    folded = fold(key)
    if is_fact(key) or folded == IS_PROMPT:
        yield from _reserved(call, key)
    elif folded.startswith(PROMPT_CONTENT):
        version = call.registry.version(call.name, call.arguments["version"])
        yield from call.held(version, f"{key} cannot be changed on what is {{place}}")


def model_tagged(call: Call) -> Iterator[Touched]:
    key = str(call.arguments["key"])
    if is_fact(key) or fold(key) == IS_PROMPT:
        yield from _reserved(call, key)


def model_created(call: Call) -> Iterator[Touched]:
    """Free. What it says of approvals is left out, as with versions."""
    return iter(())


def version_created(call: Call) -> Iterator[Touched]:
    """Anybody may register a version. One that is tagged as a prompt belongs in a prompt."""
    if not any(fold(tag.key) == IS_PROMPT for tag in call.arguments.get("tags") or ()):
        return
    model = call.registry.model(call.name)
    rule = call.facts(model.name)
    if rule and not _is_prompt(model):
        sentence = f"{model.name} is a model, and a version of it cannot be a prompt"
        yield Touched(rule, f"tag:{IS_PROMPT}", sentence, model.name)


def _is_prompt(model: Any) -> bool:
    return str(getattr(model, "_tags", {}).get(IS_PROMPT)).lower() == "true"  # `tags` leaves it out


def _reserved(call: Call, key: str) -> Iterator[Touched]:
    name = call.registry.stored_name(call.name)
    rule = call.facts(name)
    if rule:
        by_whom = "is written by Countersign alone" if is_fact(key) else "is set when a prompt is made, and stays"
        yield Touched(rule, f"tag:{key}", f"The tag {key} {by_whom}", name, call.number)


# --- Whole versions and models


def version_deleted(call: Call) -> Iterator[Touched]:
    version = call.registry.version(call.name, call.arguments["version"])
    yield from call.held(version, f"{version.name} version {version.version} cannot be deleted while it is {{place}}")


def model_deleted(call: Call) -> Iterator[Touched]:
    yield from _held_by_any(call, "cannot be deleted")


def model_renamed(call: Call) -> Iterator[Touched]:
    """By the rules for either name: what was promoted freely in `sandbox_x` may not become `prod_x` with it, nor what
    was written there in Countersign's name."""
    yield from _held_by_any(call, "cannot be renamed")
    yield from brought_along(call, call.name)


def brought_along(call: Call, name: str) -> Iterator[Touched]:
    """What a model that is now called `name` brings under the rules for its new name."""
    new_name = str(call.arguments["new_name"])
    yield from _held_by_any(call, f"cannot be renamed to {new_name}", name=name, under=new_name)
    before, rule = call.facts(call.name), call.facts(new_name)
    if not rule or (before and before.mode == ENFORCE):
        return
    model = call.registry.model(name)
    is_prompt = _is_prompt(model)
    for each in [model, *call.registry.versions(name)]:
        keys = [key for key in each.tags if is_fact(key) or (fold(key) == IS_PROMPT and not is_prompt)]
        if keys or (each is not model and notes.notes(each.description)):
            sentence = f"{call.name} cannot be renamed to {new_name} with what it says of approvals"
            yield Touched(rule, f"tag:{keys[0]}" if keys else "note", sentence, call.name)
            return


def _held_by_any(call: Call, cannot: str, *, name: str = "", under: str = "") -> Iterator[Touched]:
    """The guarded places that versions hold of the model, which is now called `name`."""
    model = call.registry.model(name or call.name)
    for found in call.guarded(under or model.name).values():
        kind, _, place = found.place.partition(":")
        holders = (
            call.registry.in_stage(model.name, place)
            if kind == "stage"
            else call.registry.with_alias(model.name, place)
        )
        if holders:
            sentence = f"{call.name} {cannot} while version {holders[-1]} is {shown(found.place)}"
            yield Touched(found.rule, found.place, sentence, call.name, holders[-1])


def webhook_changed(call: Call) -> Iterator[Touched]:
    rule = call.policy.strictest
    if rule and fold(str(call.arguments["webhook_id"])) in call.policy.webhooks:
        yield Touched(rule, "webhook", "The webhook that tells Countersign what changes is Countersign's")


def not_looked_at(call: Call) -> Iterator[Touched]:
    """A method that no list names: of a newer MLflow, or of a store that does more than MLflow's own."""
    rule = call.policy.strictest
    if rule:
        sentence = f"MLflow's {call.operation} is newer than this gate, which does not know what it changes"
        yield Touched(rule, f"method:{call.operation}", sentence, call.name)


def is_in_effect(call: Call) -> bool:
    """Whether the change would change nothing: MLflow's client sends a request again whose answer it lost."""
    wanted, registry = call.arguments, call.registry
    if call.operation == "transition_model_version_stage":
        holders = registry.in_stage(call.name, STAGES.get(str(wanted["stage"]).lower(), ""))
        return holders == [call.number] if wanted["archive_existing_versions"] else call.number in holders
    if call.operation == "set_registered_model_alias":
        return registry.with_alias(call.name, wanted["alias"]) == [call.number]
    if call.operation == "delete_registered_model_alias":
        return not registry.with_alias(call.name, wanted["alias"])
    if call.operation == "update_model_version":
        return bool(registry.version(call.name, wanted["version"]).description == wanted["description"])
    if call.operation in ("set_model_version_tag", "delete_model_version_tag"):
        return bool(registry.version(call.name, wanted["version"]).tags.get(wanted["key"]) == wanted.get("value"))
    return False


GUARDED: Mapping[str, Judge] = {
    "transition_model_version_stage": stage_moved,
    "set_registered_model_alias": alias_set,
    "delete_registered_model_alias": alias_deleted,
    "update_model_version": described,
    "set_model_version_tag": version_tagged,
    "delete_model_version_tag": version_tagged,
    "set_registered_model_tag": model_tagged,
    "delete_registered_model_tag": model_tagged,
    "create_registered_model": model_created,
    "create_model_version": version_created,
    "delete_model_version": version_deleted,
    "delete_registered_model": model_deleted,
    "rename_registered_model": model_renamed,
    "update_webhook": webhook_changed,
    "delete_webhook": webhook_changed,
}

FREE = frozenset(
    {
        "update_registered_model",  # a model's own description
        "create_webhook",
        "test_webhook",
    }
)

READS = frozenset(
    {
        "get_registered_model",
        "search_registered_models",
        "get_latest_versions",
        "get_model_version",
        "get_model_version_by_alias",
        "get_model_version_download_uri",
        "search_model_versions",
        "get_prompt",
        "get_prompt_version",
        "get_prompt_version_by_alias",
        "search_prompts",
        "search_prompt_versions",
        "get_webhook",
        "list_webhooks",
        "list_webhooks_by_event",
        # of the store in files:
        "list_registered_models",
        "get_all_registered_model_aliases_from_path",
        "get_all_registered_model_tags_from_path",
    }
)

COMPOSED = frozenset(
    {
        "copy_model_version",
        "create_prompt",
        "create_prompt_version",
        "delete_prompt",
        "delete_prompt_version",
        "set_prompt_tag",
        "delete_prompt_tag",
        "set_prompt_alias",
        "delete_prompt_alias",
        "set_prompt_version_tag",
        "delete_prompt_version_tag",
        "link_prompts_to_trace",
        "link_prompt_version_to_model",
        "link_prompt_version_to_run",
    }
)
"""MLflow's base class writes them with the methods above, or changes no model: only a store that has its own would pass
by the guard, and then they count as not looked at."""
