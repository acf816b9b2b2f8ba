"""Whether the MLflow that answers is the one that is mirrored. An identity is kept in both: a tag on MLflow's default
experiment, where it is in no one's way, and a copy in MirrorState.

A wrong MLFLOW_TRACKING_URI, a forgotten MLFLOW_WORKSPACE, a server that was restored empty and a copy of it are
all found by it. Nothing is read from another registry and nothing is written there, until a person accepts it.
"""

import time
import uuid
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from django.utils import timezone

from mirror import clock
from mirror.models import MirrorState, RegisteredModel
from mirror.port import Identity, NotFound, Registry, RegistryError, Unreachable

MOST_ASKED = 5
"""Models that are asked for, newest first, where nothing else tells whether this is the registry."""

OFTEN = 15
"""Seconds for which a process that writes little by little believes what it was told."""

NOT_THIS = "This is not the registry that Countersign mirrors."
REMEDY = (
    "Check MLFLOW_TRACKING_URI and MLFLOW_WORKSPACE of this process. If this is the registry to mirror from now on, an "
    "administrator accepts it on the System page or with manage.py accept_registry."
)

_confirmed: WeakKeyDictionary[Registry, float] = WeakKeyDictionary()
"""When each registry of this process was last confirmed. Not in the database: another process may have another
address."""


class AnotherRegistry(Unreachable):
    """What answers is not the registry that is mirrored, as far as that can be told."""


def confirm(registry: Registry, *, within: float = 0, dry_run: bool = False) -> None:
    """Asks MLflow for its identity, unless this process did `within` so many seconds. Raises AnotherRegistry, which is
    Unreachable to callers: nothing is stored or written, and it is tried again. With `dry_run` neither side is told."""
    last = _confirmed.get(registry)
    if last is not None and time.monotonic() - last < within:
        return
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
        refused = {"words": problem, "since": timezone.now().isoformat(), **_as_plain(found)}
        if state.refused:
            refused["since"] = state.refused["since"]
        MirrorState.objects.record(refused=refused, refused_at=timezone.now())
        raise AnotherRegistry(f"{NOT_THIS} {problem}")
    _compare_clocks(registry)
    agreed = _agreed(known, found, registry)
    if agreed != known:
        MirrorState.objects.record(registry=agreed)
    # Only the very address that was refused clears the refusal; another worker may be led elsewhere.
    if state.refused and state.refused["address"] == found.address:
        MirrorState.objects.record(refused={}, refused_at=None)
    _confirmed[registry] = time.monotonic()


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
    MirrorState.objects.record(registry=known, refused={}, refused_at=None)
    return before


def _problem(known: Mapping[str, Any], found: Identity, registry: Registry) -> str:
    """Why this is not the registry that is known; "" when it is, or when nothing speaks against it."""
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
    agreed = {"addresses": [found.address], "key": "", "born_at": None, **known}
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
    own, theirs = clock.skew(), registry.clock_skew()
    MirrorState.objects.record(clocks={"worker": own, "mlflow": None if theirs is None else theirs + own})


def _as_plain(found: Identity) -> dict[str, Any]:
    return {"key": found.key, "born_at": found.born_at, "address": found.address}
