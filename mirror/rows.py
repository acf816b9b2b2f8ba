"""Puts snapshots into the mirror's tables: compares, upserts what differs, marks what is gone. For `sync` and its
parts alone.

Each row remembers when MLflow was asked for it, and the database itself refuses an older answer, so that a pull, a
sweep and a delivery may write at the same time. All of them lock rows in the order of their keys: PostgreSQL would
otherwise have to end one of two that wait for each other.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections, models, transaction
from django.db.models.functions import Coalesce

from mirror.models import Alias, ModelVersion, RegisteredModel
from mirror.port import CANARY, ModelSnapshot, VersionSnapshot

T = TypeVar("T")
Key = tuple[str, int]

CHUNK = 1000
"""Rows in one transaction: on SQLite no one else can write meanwhile, and this many take some 30 ms."""

PER_STATEMENT = 400
"""Times some 20 columns this stays far below SQLite's 32,766 parameters."""

VERSION_TEXTS = (
    "stage",
    "description",
    "status",
    "status_message",
    "source",
    "run_id",
    "run_link",
    "logged_model_id",
)
_texts = attrgetter(*VERSION_TEXTS)
MOMENTS = ("created_at", "last_updated_at", "deleted_at")

_SAME_RUN = " AND ".join(f"{{table}}.{name} = excluded.{name}" for name in ("run_id", "logged_model_id", "created_at"))
_FACTS = {
    # Facts stay as long as the row means the same version; a deleted number that was registered anew starts without.
    name: f"CASE WHEN {_SAME_RUN} THEN {{table}}.{name} ELSE excluded.{name} END"
    for name in ("metrics", "params", "fact_sources", "run", "facts_at")
}


def moment(milliseconds: int) -> datetime:
    """In UTC, of MLflow's milliseconds since 1970."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


# --- Comparing: a hash of the values, because a full sweep holds one per version in memory


def digest(tags: Mapping[str, str], values: Iterable[Any]) -> int:
    """A hash for this process alone, equal for equal rows and snapshots: what is unchanged is not written."""
    return hash((frozenset(tags.items()), *values))


def version_digest(snapshot: VersionSnapshot) -> int:
    moments = moment(snapshot.created_at), moment(snapshot.last_updated_at)
    return digest(snapshot.tags, [*_texts(snapshot), *moments, None])


def model_digest(snapshot: ModelSnapshot) -> int:
    values = (snapshot.description, moment(snapshot.created_at), moment(snapshot.last_updated_at), None)
    return digest(snapshot.tags, [frozenset(snapshot.aliases.items()), *values])


def known_versions(among: Collection[VersionSnapshot]) -> dict[Key, int]:
    """The digests of those of the given versions that are mirrored, and perhaps of some more."""
    numbers = {each.number for each in among}
    wanted = {"number__in": numbers} if len(numbers) <= CHUNK else {"number__range": (min(numbers), max(numbers))}
    found: dict[Key, int] = {}
    for names in chunks(sorted({each.model for each in among})):
        listed = ModelVersion.objects.filter(model__name__in=names, **wanted)
        found |= _digests(listed)
    return found


def known_versions_of(model: str) -> dict[int, int]:
    """By number."""
    return {number: said for (_, number), said in _digests(ModelVersion.objects.filter(model__name=model)).items()}


def _digests(versions: "models.QuerySet[ModelVersion]") -> dict[Key, int]:
    listed = versions.values_list("model__name", "number", "tags", *VERSION_TEXTS, *MOMENTS)
    return {(name, number): digest(tags, values) for name, number, tags, *values in listed}


def known_models(among: Collection[str] | None = None) -> dict[str, int]:
    """Digest of each mirrored model by name, marked ones too; `among` None is all. Two queries."""
    rows, aliases = RegisteredModel.objects.all(), Alias.objects.all()
    if among is not None:
        rows, aliases = rows.filter(name__in=among), aliases.filter(model__name__in=among)
    held: dict[str, dict[str, int]] = {}
    for name, alias, number in aliases.values_list("model__name", "name", "number"):
        held.setdefault(name, {})[alias] = number
    listed = rows.values_list("name", "tags", "description", *MOMENTS)
    return {name: digest(tags, [frozenset(held.get(name, {}).items()), *values]) for name, tags, *values in listed}


# --- What does not fit: names of MLflow on SQLite may have any length, and PostgreSQL ends the whole statement


LONGEST_NAME = 256
MOST_NUMBER = 2**31 - 1


def fitting_models(snapshots: Iterable[ModelSnapshot]) -> tuple[list[ModelSnapshot], list[str]]:
    """Those that the tables can hold, without aliases that they cannot, and a sentence for each refusal."""
    good, refused = [], []
    for each in snapshots:
        if len(each.name) > LONGEST_NAME:
            refused.append(
                f"The model {each.name[:60]}… was refused: its name has {len(each.name)} characters, and at most "
                f"{LONGEST_NAME} can be kept."
            )
            continue
        held = {alias: number for alias, number in each.aliases.items() if _fits(alias, number)}
        refused += [
            f"The alias {alias[:60]} of {each.name} was refused: it is too long."
            for alias in each.aliases.keys() - held.keys()
        ]
        good.append(each if len(held) == len(each.aliases) else replace(each, aliases=held))
    return good, refused


def fitting_versions(snapshots: Iterable[VersionSnapshot]) -> list[VersionSnapshot]:
    """The same of versions; that their model is refused is said of the model."""
    return [each for each in snapshots if _fits(each.model, each.number)]


def _fits(name: str, number: int) -> bool:
    return len(name) <= LONGEST_NAME and 0 < number <= MOST_NUMBER


# --- Writing


def put_models(snapshots: Sequence[ModelSnapshot], asked_at: datetime) -> None:
    """Upserts models and replaces their aliases. Canaries, with their versions, and what does not fit are left out."""
    fitting, _ = fitting_models(snapshots)
    snapshots = [each for each in fitting if not CANARY.fullmatch(each.name)]
    at, read_at = _adapted_moments(asked_at)
    columns = ("name", "description", "tags", "created_at", "last_updated_at", "read_at")
    for chunk in chunks(sorted(snapshots, key=attrgetter("name"))):
        values = [
            (each.name, each.description, as_json(each.tags), at(each.created_at), at(each.last_updated_at), read_at)
            for each in chunk
        ]
        with transaction.atomic():
            _upsert(RegisteredModel, columns, values, key=("name",), literals={"deleted_at": "NULL"})
            _replace_aliases({each.name: each.aliases for each in chunk}, asked_at)


def _replace_aliases(wanted: Mapping[str, Mapping[str, int]], asked_at: datetime) -> None:
    written = dict(RegisteredModel.objects.filter(name__in=wanted, read_at=asked_at).values_list("name", "pk"))
    held = Alias.objects.filter(model__in=written.values()).values_list("pk", "model__name", "name")
    Alias.objects.filter(pk__in=[pk for pk, model, alias in held if alias not in wanted[model]]).delete()
    rows = [
        Alias(model_id=pk, name=alias, number=number)
        for name, pk in written.items()
        for alias, number in wanted[name].items()
    ]
    Alias.objects.bulk_create(
        rows, batch_size=CHUNK, update_conflicts=True, unique_fields=["model", "name"], update_fields=["number"]
    )


def put_versions(
    snapshots: Sequence[VersionSnapshot], asked_at: datetime, model_ids: Mapping[str, int] | None = None
) -> None:
    """Upserts versions of mirrored models; those of other models are left out, and so is what does not fit."""
    snapshots = fitting_versions(snapshots)
    if model_ids is None:
        names = {each.model for each in snapshots}
        model_ids = dict(RegisteredModel.objects.filter(name__in=names).values_list("name", "pk"))
    at, read_at = _adapted_moments(asked_at)
    columns = ("model_id", "number", *VERSION_TEXTS, "tags", "created_at", "last_updated_at", "read_at", "facts_at")
    known = [each for each in snapshots if each.model in model_ids]
    for chunk in chunks(sorted(known, key=lambda each: (model_ids[each.model], each.number))):
        values = [
            (
                model_ids[each.model],
                each.number,
                *_texts(each),
                as_json(each.tags),
                at(each.created_at),
                at(each.last_updated_at),
                read_at,
                None if each.run_id or each.logged_model_id or each.source.startswith("models:/") else read_at,
            )
            for each in chunk
        ]
        literals = {"metrics": "'{}'", "params": "'{}'", "fact_sources": "'{}'", "run": "'{}'", "deleted_at": "NULL"}
        with transaction.atomic(savepoint=False):
            _upsert(ModelVersion, columns, values, key=("model_id", "number"), literals=literals, instead=_FACTS)


def mark_deleted(model: str, asked_at: datetime, numbers: Collection[int] | None = None) -> int:
    """Marks these versions, each of which MLflow answered does not exist; without numbers, the model with all that it
    has. Returns how many versions were marked."""
    with transaction.atomic():
        if numbers is None:
            whole = RegisteredModel.objects.filter(name=model, deleted_at=None, read_at__lt=asked_at)
            if whole.update(deleted_at=asked_at, read_at=asked_at, hidden_at=None, unreadable_at=None):
                Alias.objects.filter(model__name=model).delete()
        versions = ModelVersion.objects.filter(model__name=model, read_at__lt=asked_at)
        if numbers is None:
            versions = versions.filter(deleted_at=None)
        locked = versions.select_for_update(of=("self",)).order_by("model_id", "number")
        found = locked.values_list("pk", "number", "deleted_at")
        gone = {pk: deleted_at for pk, number, deleted_at in found if numbers is None or number in numbers}
        for chunk in chunks(list(gone)):
            ModelVersion.objects.filter(pk__in=chunk).update(
                deleted_at=Coalesce("deleted_at", asked_at), read_at=asked_at
            )
    return sum(deleted_at is None for deleted_at in gone.values())


def mark_unreadable(model: str, asked_at: datetime, *, is_unreadable: bool) -> None:
    """Notes that this account may not read the model, or a version of it; or that it may again."""
    rows = RegisteredModel.objects.filter(name=model, unreadable_at__isnull=is_unreadable)
    rows.update(unreadable_at=asked_at if is_unreadable else None)


def mark_hidden(model: str, asked_at: datetime, *, is_hidden: bool) -> None:
    """Notes that MLflow does not list the model, or its versions, though it has it by name; or that it does again."""
    rows = RegisteredModel.objects.filter(name=model, hidden_at__isnull=is_hidden)
    rows.update(hidden_at=asked_at if is_hidden else None)


def _upsert(
    model: type[models.Model],
    columns: Sequence[str],
    values: Sequence[Sequence[Any]],
    *,
    key: Collection[str],
    literals: Mapping[str, str],
    instead: Mapping[str, str] | None = None,
) -> None:
    """INSERT … ON CONFLICT DO UPDATE, unless what is stored was read later (`bulk_create` cannot say that, and takes
    three times as long). PostgreSQL is given many rows by COPY, into a table of their own: an eighth of the time.
    `literals` are columns with one SQL value for all rows, `instead` holds SQL for columns that do not simply take the
    new value. Values are adapted to the database; SQLite and PostgreSQL both understand it."""
    table = connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001  public in all but name
    changes = (
        (name, (instead or {}).get(name, "excluded.{name}")) for name in (*columns, *literals) if name not in key
    )
    assigned = ", ".join(f"{name} = {sql.format(table=table, name=name)}" for name, sql in changes)
    one = f"({', '.join(['%s'] * len(columns) + list(literals.values()))})"
    into = f"INSERT INTO {table} ({', '.join((*columns, *literals))})"
    unless = f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {assigned} WHERE {table}.read_at <= excluded.read_at"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql" and len(values) > PER_STATEMENT:
            named = ", ".join(columns)
            cursor.execute(f"CREATE TEMPORARY TABLE coming AS SELECT {named} FROM {table} WITH NO DATA")  # noqa: S608  own names
            # Django wraps no errors of what is done with a copy.
            with connection.wrap_database_errors, cursor.copy(f"COPY coming ({named}) FROM STDIN") as copy:
                for row in values:
                    copy.write_row(row)
            chosen = ", ".join((*columns, *literals.values()))
            # As Python sorts names, whatever the database's collation: who writes a few rows locks them in that order.
            order = ", ".join(f'{name} COLLATE "C"' if name == "name" else name for name in key)
            cursor.execute(f"{into} SELECT {chosen} FROM coming ORDER BY {order} {unless}")  # noqa: S608
            cursor.execute("DROP TABLE coming")
            return
        for chunk in chunks(values, PER_STATEMENT):
            cursor.execute(
                f"{into} VALUES {', '.join([one] * len(chunk))} {unless}", [value for row in chunk for value in row]
            )


def _adapted_moments(asked_at: datetime) -> tuple[Callable[[int], Any], Any]:
    """A function from MLflow's milliseconds to what the database driver takes, and `asked_at` so adapted."""
    adapt = connections[DEFAULT_DB_ALIAS].ops.adapt_datetimefield_value
    return lambda milliseconds: adapt(moment(milliseconds)), adapt(asked_at)


def as_json(tags: Mapping[str, str]) -> str:
    return json.dumps(dict(tags))
