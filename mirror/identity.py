"""Whether the MLflow that answers is the one that is mirrored. An identity is kept in both: a tag on MLflow's default
experiment, where it is in no one's way, and a copy in MirrorState.

A wrong MLFLOW_TRACKING_URI, another workspace, a server that was restored empty and a copy of it are
all found by it. Nothing is read from another registry and nothing is written there, until a person accepts it.
"""

import socket
import time
import uuid
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from django.db import transaction

from mirror import clock
from mirror.models import MirrorState, RegisteredModel
from mirror.port import WRONG_WORKSPACE, Identity, NotFound, Registry, RegistryError, Unreachable

DEFAULT = "default"
"""MLflow's workspace where none is named, and the only one where it has none."""

MOST_ASKED = 5
"""Models that are asked for, newest first, where nothing else tells whether this is the registry."""

OFTEN = 15
"""Seconds for which a process that writes little by little believes what it was told."""

NOT_THIS = "This is not the registry that Countersign mirrors."
REMEDY = (
    "Check MLFLOW_TRACKING_URI and COUNTERSIGN_MLFLOW_WORKSPACE of this process. If this is the registry to mirror "
    "from now on, an administrator accepts it on the System page or with manage.py accept_registry."
)

_fitting: WeakSet[Registry] = WeakSet()
"""Registries of this process that were asked whether they have workspaces, and are named one if so."""

_confirmed: WeakKeyDictionary[Registry, float] = WeakKeyDictionary()
"""When each registry of this process was last confirmed. Not in the database: another process may have another
address."""


class AnotherRegistry(Unreachable):
    """What answers is not the registry that is mirrored, as far as that can be told."""


def confirm(registry: Registry, *, within: float = 0, dry_run: bool = False) -> None:
    """Asks MLflow for its identity, unless this process did `within` so many seconds. Raises AnotherRegistry, which is
    Unreachable to callers: nothing is stored or written, and it is tried again; and Unreachable where MLflow has
    workspaces and none is named, or the other way round. With `dry_run` neither side is told."""
    last = _confirmed.get(registry)
    if last is not None and time.monotonic() - last < within:
        return
    _confirm_workspaces(registry)
    found, state = registry.identity(), MirrorState.objects.current()
    known = state.registry
    problem = _problem(known, found, registry) if known else _stranger(registry)
    if dry_run:
        if problem:
            raise AnotherRegistry(f"{NOT_THIS} {problem}")
        return
    if problem:
        # Asked again before the next step, and since when is kept over all refusals: it is shown on every page.
        _confirmed.pop(registry, None)
        refused = {"words": problem, "since": clock.now().isoformat(), **_as_plain(found)}
        if state.refused:
            refused["since"] = state.refused["since"]
        MirrorState.objects.record(refused=refused, refused_at=clock.now())
        raise AnotherRegistry(f"{NOT_THIS} {problem}")
    _compare_clocks(registry)
    agreed = _agreed(known, found, registry)
    if agreed != known:
        MirrorState.objects.record(registry=agreed)
    # Only the very address that was refused clears the refusal; another worker may be led elsewhere.
    if state.refused and state.refused["address"] == found.address:
        MirrorState.objects.record(refused={}, refused_at=None)
    _confirmed[registry] = time.monotonic()


def _confirm_workspaces(registry: Registry) -> None:
    """On the first contact. Unnamed, MLflow would answer for its default workspace, which may be nobody's."""
    if registry in _fitting:
        return
    named, has = registry.workspace, registry.has_workspaces()
    if has and not named:
        raise Unreachable(f"{WRONG_WORKSPACE} workspaces; set COUNTERSIGN_MLFLOW_WORKSPACE to one of them.")
    if named and not has:
        raise Unreachable(f"{WRONG_WORKSPACE} no workspaces, and COUNTERSIGN_MLFLOW_WORKSPACE names {named}.")
    _fitting.add(registry)


def known() -> dict[str, Any]:
    """`key`, `born_at` and `addresses` of the registry that is mirrored, `not_kept` where MLflow takes no identity; {}
    before the first contact."""
    return dict(MirrorState.objects.current().registry)


def accept(found: Mapping[str, Any]) -> dict[str, Any]:
    """Makes what was found (MirrorState.refused) the registry that is mirrored; returns what was mirrored
    before. In the transaction of the caller, who records it."""
    state = MirrorState.objects.select_for_update().get(pk=1)
    before = dict(state.registry)
    is_same = bool(before) and _is_same(before, Identity(found["key"], found["born_at"], found["address"]))
    addresses = [*before["addresses"], found["address"]] if is_same else [found["address"]]
    known = {"key": found["key"], "born_at": found["born_at"], "addresses": addresses, "is_accepted": True}
    known["workspace"] = found.get("workspace", "")
    # How long the one before took says nothing of this one.
    anew: dict[str, Any] = {"pull_took": [], "sweep_took": [], "pull_due_at": None, "sweep_due_at": None}
    MirrorState.objects.record(registry=known, refused={}, refused_at=None, **anew)
    return before


def _problem(known: Mapping[str, Any], found: Identity, registry: Registry) -> str:
    """Why this is not the registry that is known; "" when it is, or when nothing speaks against it."""
    named, now = (word or DEFAULT for word in (known.get("workspace", found.workspace), found.workspace))
    if named != now:
        return f"What is mirrored is the workspace {named}, and COUNTERSIGN_MLFLOW_WORKSPACE names {now}."
    if _is_same(known, found):
        if found.address in known["addresses"]:
            return ""
        so_far = " and ".join(known["addresses"])
        return (
            f"What answers at {found.address} carries the identity of the registry that so far answered at {so_far}: "
            "it has moved, or it is a copy."
        )
    if found.key:
        return f"What answers at {found.address} carries another identity ({found.key[:8]}…): it is another registry."
    if known["key"] or known["born_at"]:
        return (
            f"What answers at {found.address} carries no identity: it is another server or another workspace, "
            "or MLflow was set up anew."
        )
    if known.get("is_accepted") and found.address in known["addresses"]:
        return ""
    return _stranger(registry)


def _is_same(known: Mapping[str, Any], found: Identity) -> bool:
    if known["key"] and found.key:
        return bool(known["key"] == found.key)
    return known["born_at"] is not None and bool(known["born_at"] == found.born_at)


def _stranger(registry: Registry) -> str:
    """For want of an identity: why this cannot be what the mirror has been filled from; "" when it knows one of the
    models, or there are none yet."""
    newest = RegisteredModel.objects.filter(deleted_at=None).order_by("-last_updated_at")[:MOST_ASKED]
    names = dict(newest.values_list("name", "created_at"))
    for name, created_at in names.items():
        try:
            made = registry.model(name).created_at
        except NotFound:
            continue
        except Unreachable:
            raise
        except RegistryError:
            return ""  # it is there, and not shown to this account
        if abs(made - created_at.timestamp() * 1000) < 1:
            return ""
    if not names:
        return ""
    listed = ", ".join(sorted(names))
    return f"What answers knows none of these models, which were mirrored before: {listed}."


def _agreed(known: Mapping[str, Any], found: Identity, registry: Registry) -> dict[str, Any]:
    """What both sides know from now on. MLflow is given an identity where it has none; where it does not take one,
    the reason is kept."""
    agreed = {"addresses": [found.address], "key": "", "born_at": None, **known, "workspace": found.workspace}
    agreed["born_at"] = found.born_at if found.born_at is not None else agreed["born_at"]
    if found.key:
        agreed.pop("not_kept", None)
        return agreed | {"key": found.key}
    key = agreed["key"] or uuid.uuid4().hex
    try:
        registry.keep_identity(key)
    except Unreachable:
        return agreed
    except RegistryError as error:
        return agreed | {"not_kept": error.message[:500]}
    agreed.pop("not_kept", None)
    return agreed | {"key": key}


def _compare_clocks(registry: Registry) -> None:
    """Each host of workers says its own: one of them may be right and another one wrong."""
    own, theirs, now = clock.skew(), registry.clock_skew(), clock.now()
    with transaction.atomic():
        MirrorState.objects.get_or_create(pk=1)
        known = MirrorState.objects.select_for_update().get(pk=1).workers(now)
        known[socket.gethostname()] = {"seconds": own, "at": now.isoformat()}
        clocks = {"workers": known, "mlflow": None if theirs is None else theirs + own}
        MirrorState.objects.record(clocks=clocks)


def _as_plain(found: Identity) -> dict[str, Any]:
    return {
        "key": found.key, "born_at": found.born_at, "address": found.address, "workspace": found.workspace,
    }  # fmt: skip
