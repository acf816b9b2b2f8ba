"""The guard over MLflow's model registry store, for the scheme `countersign:`.

Every way into the registry ends at a method of the store: each route and prefix, each spelling of a body, the pages,
the clients of all versions. So the guard stands there. `build` has MLflow make the store that it would make without
us, and gives it a class in which each changing method first asks `decide`: the call goes on as it came, or raises 403.

What is read for a decision and what is then written are two transactions of MLflow's, so changes of one model take
turns. A renaming ends under another name than it began, whose changes it did not wait for, and so it looks once more.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from flask import g, has_request_context, request
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, PERMISSION_DENIED

from mlflow_gate import __version__, changes, notes, opening
from mlflow_gate.changes import Call, Judge, Registry, Touched
from mlflow_gate.grants import HEADER, Grant, Invalid, check
from mlflow_gate.once import Once
from mlflow_gate.permits import Permits
from mlflow_gate.policy import ENFORCE, OFF, Policy, mark
from mlflow_gate.refusals import Teller
from mlflow_gate.settings import Settings, weaker
from mlflow_gate.source import Source
from mlflow_gate.turns import Turns

log = logging.getLogger("mlflow_gate")

SCHEME = "countersign:"

PROBED = ("set_registered_model_tag", "set_model_version_tag")
"""By which it is asked whether the gate stands, on a model that does not exist. MLflow's basic-auth lets the first one
pass for an account that may edit all models, and the second one for administrators alone."""

LONGEST = 1000
"""Characters of a name, an alias or a tag's key. MLflow takes less and only sees that after us; what is compared with
each rule, kept and told should not be as long as a request can be."""

OLD = 10
"""Minutes. Countersign signs its policy anew each minute."""


def build(store_uri: str, tracking_uri: str | None = None) -> Any:
    """MLflow's entry point: the store behind `countersign:`, guarded. Raises MlflowException, and then MLflow does not
    start."""
    inner = store_uri[len(SCHEME) :]
    if not inner:
        raise MlflowException(f"{SCHEME} is followed by the address of the registry's store.", INVALID_PARAMETER_VALUE)
    decides = gate()
    builder = _builders().get_store_builder(inner)
    wanted = {"store_uri": inner, "tracking_uri": tracking_uri}
    takes = inspect.signature(builder).parameters
    store = builder(**wanted) if wanted.keys() <= takes.keys() else builder(inner)
    store.__class__ = guarded_class(type(store), decides)
    return store


@dataclass(frozen=True)
class Gate:
    """What decides in this process."""

    settings: Settings
    policy: Callable[[], Policy]
    tell: Callable[[dict[str, Any]], None]
    used: Once
    permits: Permits = field(default_factory=Permits)
    turns: Turns = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "turns", Turns(self.settings.turns))


@functools.lru_cache(maxsize=1)
def gate() -> Gate:
    """This process's. Raises MlflowException when the environment does not say what it needs."""
    try:
        settings = Settings.from_environment()
        permits = Permits(settings.database)
        permits.confirm()
    except ValueError as error:
        raise MlflowException(f"The gate cannot stand: {error}", INVALID_PARAMETER_VALUE) from error
    source = Source(settings, reached=functools.partial(opening.tell, settings))
    source.policy()  # begins to ask, so that something is known when the first request comes
    return Gate(settings, source.policy, Teller(settings).tell, Once(settings.used), permits)


def _builders() -> Any:
    """MLflow's own registry of stores: the server's, where this is the server, which knows of read replicas."""
    handlers = sys.modules.get("mlflow.server.handlers")
    if handlers:
        return handlers._model_registry_store_registry  # noqa: SLF001
    from mlflow.tracking._model_registry.utils import _get_store_registry  # noqa: PLC0415

    return _get_store_registry()


# --- The class


def guarded_class(plain: type, gate: Gate) -> type:
    """A subclass of MLflow's store class, so that the store is still what MLflow asks it to be."""
    judges = {name: judge for name, judge in changes.GUARDED.items() if hasattr(plain, name)}
    unknown = not_looked_at(plain)
    if unknown:
        log.warning("This MLflow has methods that the gate does not know and refuses: %s.", ", ".join(unknown))
    judges |= dict.fromkeys(unknown, changes.not_looked_at)
    members: dict[str, Any] = {name: _guarded(plain, name, judge, gate) for name, judge in judges.items()}
    return type(f"Guarded{plain.__name__}", (plain,), members)


def not_looked_at(plain: type) -> list[str]:
    """Its public methods that are on no list, or that it has of its own instead of MLflow's composed ones."""
    known = {*changes.GUARDED, *changes.FREE, *changes.READS}
    composed = {name for name in changes.COMPOSED if _has_base_method(plain, name)}
    return sorted(
        name
        for name in dir(plain)
        if not name.startswith("_")
        and inspect.isfunction(inspect.getattr_static(plain, name))
        and name not in known | composed
    )


def _has_base_method(plain: type, name: str) -> bool:
    from mlflow.store.model_registry.abstract_store import AbstractStore  # noqa: PLC0415

    return getattr(plain, name, None) is getattr(AbstractStore, name, None)


def _guarded(plain: type, name: str, judge: Judge, gate: Gate) -> Callable[..., Any]:
    method = getattr(plain, name)
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(self, *args, **kwargs)
        if name in ("create_model_version", "create_registered_model") and gate.settings.mode != OFF:
            _leave_out(bound.arguments)
        arguments = _spread(dict(list(bound.arguments.items())[1:]))
        asked = Call(name, arguments, Registry(self, plain), gate.policy())
        with contextlib.nullcontext() if changes.is_free(asked) else gate.turns.of(asked.name):
            grant = decide(gate, asked, judge)
            with gate.permits.around(name, arguments):
                answer = method(*bound.args, **bound.kwargs)
            if grant:
                gate.used.use(grant.id)
        if not grant and name == "rename_registered_model":
            _look_again(gate, asked, functools.partial(method, self))
        return answer

    return call


def _spread(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """As grants name them: a tag is a key and a value."""
    tag = arguments.get("tag")
    if tag is None:
        return arguments
    return {name: value for name, value in arguments.items() if name != "tag"} | {"key": tag.key, "value": tag.value}


def _leave_out(arguments: dict[str, Any]) -> None:
    """What is created anew was not approved, whatever it was copied from: MLflow's own copies take tags and
    description along, and a copy that were refused for them would break its *Promote model*."""
    tags = arguments.get("tags")
    if tags and any(changes.is_fact(tag.key) for tag in tags):
        arguments["tags"] = [tag for tag in tags if not changes.is_fact(tag.key)]
    if notes.notes(arguments.get("description")):
        arguments["description"] = notes.without(arguments["description"])


# --- The decision


def decide(gate: Gate, call: Call, judge: Judge) -> Grant | None:
    """Returns when the call may go on, with the grant that it was made with. Raises MlflowException, 403, with a
    sentence for whoever made the call; 400 for names that MLflow does not take."""
    named = ("name", "new_name", "alias", "key", "version", "webhook_id")
    if any(len(str(call.arguments.get(each) or "")) > LONGEST for each in named) and gate.settings.mode != OFF:
        raise MlflowException(f"Names have at most {LONGEST} characters.", INVALID_PARAMETER_VALUE)
    probed = call.operation in PROBED and call.name.startswith(call.policy.probe)
    if probed:  # it is asked whether the gate stands, and in which mode: answered in each of them
        sentence = f"The tag {call.arguments['key']} is written by Countersign alone.{_age(call.policy)}"
        raise refusal(sentence, call.policy, gate.settings.mode_now())
    if gate.settings.mode == OFF:
        return None
    grant, invalid = _grant(gate, call)
    if grant:
        _hold_against(grant, call)
        return grant
    refuse(gate, call.operation, list(judge(call)), call.policy, invalid)
    return None


def refuse(gate: Gate, operation: str, touched: Sequence[Touched], policy: Policy, invalid: str = "") -> None:
    """Of a gate that is not off: tells if anything is touched, and raises MlflowException, 403, if that is enforced.
    `invalid` is why there is no grant, though one was sent."""
    if not touched:
        return
    strictest = max(touched, key=lambda each: each.rule.mode == ENFORCE)
    mode = weaker(gate.settings.mode_now(), strictest.rule.mode)
    tell(gate, operation, strictest, mode)
    if mode == ENFORCE:
        raise refusal(_sentence(strictest, gate.settings.site, invalid), policy, mode)


def _look_again(gate: Gate, call: Call, rename: Callable[..., Any]) -> None:
    """A version that arrived in a place while its model was renamed came by two changes of which each was let through,
    and would now stand where neither could have put it: the name is taken back. Raises MlflowException then."""
    if gate.settings.mode == OFF:
        return
    brought = changes.brought_along(call, str(call.arguments["new_name"]))
    try:
        refuse(gate, call.operation, [each for each in brought if each.rule.mode == ENFORCE], call.policy)
    except MlflowException:
        back = {"name": call.arguments["new_name"], "new_name": call.name}
        with gate.permits.around(call.operation, back):
            rename(**back)
        raise


def _grant(gate: Gate, call: Call) -> tuple[Grant | None, str]:
    """Countersign's grant for this very call, or why there is none."""
    value = request.headers.get(HEADER) if has_request_context() else None
    if value is None:
        return None, ""
    try:
        grant = check(value, gate.settings.keys, call.operation, call.arguments, audience=gate.settings.audience)
    except Invalid as error:
        return None, str(error)
    except (TypeError, ValueError):  # arguments that no grant can name
        return None, "the grant is for another change"
    if gate.used.was_used(grant.id) and not changes.is_in_effect(call):
        return None, "the grant was used already"
    return grant, ""


def _hold_against(grant: Grant, call: Call) -> None:
    """Countersign asked for this change as long as MLflow is as it saw it, whatever the mode: MLflow has no such
    condition of its own. What is in effect already may be asked for twice."""
    for place, expected in grant.expect.items():
        kind, _, name = place.partition(":")
        if kind == "made":
            _hold_against_made(expected, call)
            continue
        if kind not in ("stage", "alias"):
            raise refusal(f"The grant expects something of {place!r}, which is no place.", call.policy, ENFORCE)
        found = (
            call.registry.in_stage(call.name, name) if kind == "stage" else call.registry.with_alias(call.name, name)
        )
        if found != sorted(expected) and not changes.is_in_effect(call):
            where = f"in {name}" if kind == "stage" else f"as @{name}"
            sentence = f"the grant expects {_versions(expected)} {where}, MLflow has {_versions(found)}"
            raise refusal(f"{call.name} was not changed: {sentence}.", call.policy, ENFORCE)


def _hold_against_made(expected: Sequence[int], call: Call) -> None:
    """Who deletes a model and makes it anew has versions with the same numbers, which nobody approved."""
    found = int(call.registry.version(call.name, call.arguments["version"]).creation_timestamp or 0)
    if found not in expected:
        sentence = f"the grant expects another version {call.number} than the one that was made since"
        raise refusal(f"{call.name} was not changed: {sentence}.", call.policy, ENFORCE)


def _versions(numbers: Any) -> str:
    names = [str(number) for number in sorted(numbers)]
    return f"version{'s' * (len(names) > 1)} {', '.join(names)}" if names else "no version"


def _sentence(touched: Touched, site: str, invalid: str) -> str:
    if invalid:
        return f"{touched.sentence}: {invalid}."
    if not touched.can_be_asked:
        return f"{touched.sentence}."
    address = f"{site}/p/{quote(touched.model, safe='')}/{touched.version}"
    return f"{touched.sentence}: {touched.rule.words}. Ask for it: {address}"


def _age(policy: Policy) -> str:
    """A sentence about a policy that was not signed anew for long: Countersign is away, or gives out none."""
    minutes = (time.time() - policy.signed_at) / 60 if policy.signed_at else 0
    return f" Its policy is {minutes:.0f} minutes old." if minutes > OLD else ""


def refusal(sentence: str, policy: Policy, mode: str) -> MlflowException:
    """What is raised for whoever is refused: 403."""
    version = ".".join(__version__.split(".")[:2])
    return MlflowException(f"{sentence} {mark(version, policy.serial, mode)}", error_code=PERMISSION_DENIED)


def tell(gate: Gate, operation: str, touched: Touched, mode: str) -> None:
    """The log and Countersign: who was refused what, or would have been."""
    who, address = _who()
    log.warning("%s, for %s: %r", mode, who or "somebody", touched.sentence)
    gate.tell(
        {
            "id": secrets.token_urlsafe(12),
            "who": who,
            "operation": operation,
            "model": touched.model,
            "version": touched.version,
            "place": touched.place,
            "at": time.time(),
            "mode": mode,
            "address": address,
        }
    )


def _who() -> tuple[str, str]:
    """The user that MLflow's authentication found, and the address that the request came from."""
    if not has_request_context():
        return "", ""
    name = g.get("mlflow_authenticated_user") or (request.authorization and request.authorization.username) or ""
    return str(name), str(request.remote_addr or "")
