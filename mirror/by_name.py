"""Reads one model by its name and its versions by their numbers, because a listing is not the whole truth. For `sync`
and `sweep` alone.

A listing is cut into pages by offset, may come from a stale replica, and leaves out every version of a model of which
one is marked as a prompt. So nothing is deleted because it is not listed: only MLflow's own "there is no such version"
to a number is believed. And a model that answers to its name and is not listed is read number by number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mirror import clock, rows
from mirror.models import ModelVersion, RegisteredModel, Stage
from mirror.port import Denied, ModelSnapshot, NotFound, Registry, Unreachable, Unsigned, VersionSnapshot

MOST_NUMBERS = 500
"""Versions of one model that are asked for in one look, what holds a place first and then the longest unread."""


class Contradiction(Unreachable):
    """MLflow says that there is no such model, and has a version of it."""


@dataclass(slots=True)
class Found:
    model: ModelSnapshot
    asked_at: datetime
    listed: Sequence[VersionSnapshot]
    listed_at: datetime
    numbered: list[VersionSnapshot] = field(default_factory=list)
    numbered_at: datetime = field(default_factory=clock.now)
    gone: set[int] = field(default_factory=set)
    """Numbers to which MLflow answered that there is no such version."""

    unasked: int = 0
    """Numbers that were left for the next look."""

    is_hidden: bool = False
    is_unreadable: bool = False
    """Whether this account may not read one of the versions."""


def read(registry: Registry, name: str, *, is_listed: bool = True, most: int = MOST_NUMBERS) -> Found:
    """What MLflow has under this name; `is_listed` says whether its search lists the model. Raises as `model` does."""
    asked_at = clock.now()
    named = model(registry, name)
    listed_at = clock.now()
    found = Found(named, asked_at, [each for page in registry.versions(model=name) for each in page], listed_at)
    numbers = _numbers(found)
    found.unasked = len(numbers[most:])
    for number in numbers[:most]:
        try:
            found.numbered.append(registry.version(name, number))
        except NotFound:
            found.gone.add(number)
        except Unsigned:
            raise
        except Denied:
            found.is_unreadable = True
    is_left_out = (
        (not found.listed and bool(found.numbered) and not any(registry.versions(model=name)))  # asked once more
        or not (is_listed or any(registry.models(name=name)))
    )  # fmt: skip
    found.is_hidden = named.is_prompt or (is_left_out and not _lists_nothing(registry, besides=name))
    return found


def _lists_nothing(registry: Registry, *, besides: str) -> bool:
    """Whether MLflow lists no version at all, although others than this model's are mirrored: then its listing is what
    is wrong, as behind a proxy that lost the answer, and says nothing of this model."""
    others = ModelVersion.objects.filter(deleted_at=None).exclude(model__name=besides)
    return others.exists() and not any(registry.versions(page_size=1))


def store(found: Found) -> int:
    """Returns how many versions were marked deleted."""
    name = found.model.name
    rows.put_models([found.model], found.asked_at)
    rows.put_versions(found.listed, found.listed_at)
    rows.put_versions(found.numbered, found.numbered_at)
    rows.mark_hidden(name, found.asked_at, is_hidden=found.is_hidden)
    rows.mark_unreadable(name, found.asked_at, is_unreadable=found.is_unreadable)
    return rows.mark_deleted(name, found.numbered_at, found.gone)


def model(registry: Registry, name: str) -> ModelSnapshot:
    """Raises NotFound when there is no such model and its newest mirrored version is gone as well; Contradiction when
    MLflow still has that one."""
    try:
        return registry.model(name)
    except NotFound:
        _confirm_gone(registry, name)
        raise


def _confirm_gone(registry: Registry, name: str) -> None:
    mirrored = ModelVersion.objects.filter(model__name=name, deleted_at=None).order_by("-number")
    number = mirrored.values_list("number", flat=True).first()
    if number is None:
        return
    try:
        registry.version(name, number)
    except Unsigned:
        raise
    except (NotFound, Denied):  # under basic-auth, 403 is also the answer about a version of a model that is gone
        return
    raise Contradiction(f"MLflow says that there is no model {name}, and has version {number} of it.")


def _numbers(found: Found) -> list[int]:
    """What has to be asked for by number: the mirrored versions that are not listed and, where none is listed, those
    that the mirror may not know yet or has not asked for since."""
    name = found.model.name
    listed = {each.number for each in found.listed}
    columns = ("number", "stage", "read_at", "deleted_at")
    mirrored = {
        number: (stage, read_at, bool(deleted_at))
        for number, stage, read_at, deleted_at in ModelVersion.objects.filter(model__name=name).values_list(*columns)
    }
    wanted = {number for number, (_, _, is_deleted) in mirrored.items() if not is_deleted} | set(found.model.latest)
    if not listed:
        hidden_at = RegisteredModel.objects.filter(name=name).values_list("hidden_at", flat=True).first()
        asked = {
            n for n, (_, read_at, is_deleted) in mirrored.items() if is_deleted and hidden_at and read_at > hidden_at
        }
        wanted |= set(range(1, max(found.model.latest, default=0) + 1)) - asked
    named = {*found.model.latest, *found.model.aliases.values()}
    never = (Stage.NONE, datetime.min.replace(tzinfo=UTC), False)

    def rank(number: int) -> tuple[bool, datetime, int]:
        stage, read_at, _ = mirrored.get(number, never)
        return number not in named and stage in (Stage.NONE, Stage.ARCHIVED), read_at, -number

    return sorted(wanted - listed, key=rank)
