"""Which of the versions that MLflow lists the mirror has just so already. For `sweep` alone.

The database puts all that a model's versions say into one text (on PostgreSQL, its digest), and so does this process
with what was listed: a model that agrees costs one short row, however many versions it has. Where the two differ, for
whatever reason, the columns themselves are compared: the texts only ever save work.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring

from django.db import connection

from mirror import rows
from mirror.models import ModelVersion, RegisteredModel
from mirror.port import VersionSnapshot

MODELS_AT_ONCE = 1_000
"""In one statement, of three parameters each."""

_END, _BETWEEN = "\x1f", "\x1e"

_FREE = ("description", "source", "run_link", "status_message")
"""May have any characters, so their lengths are part of the text."""

_NAMED = ("stage", "status", "run_id", "logged_model_id")

_MILLISECONDS = {
    "postgresql": "(date_part('epoch', v.{}) * 1000)::bigint",
    "sqlite": "CAST(round((julianday(v.{}) - 2440587.5) * 86400000) AS INTEGER)",
}
_TAGS = {"postgresql": "v.tags::text", "sqlite": "v.tags"}


def differing(page: Sequence[VersionSnapshot]) -> tuple[list[VersionSnapshot], set[rows.Key]]:
    """Those of the page, in its order, that are not mirrored just so, and which of these keys are mirrored at all.
    Quick when the page is in the order of names."""
    listed: dict[str, list[VersionSnapshot]] = {}
    for each in page:
        listed.setdefault(each.model, []).append(each)
    known = _texts(listed)
    text = _one_text(connection.vendor)
    suspects = [name for name, versions in listed.items() if known.get(name) != text(versions)]
    if not suspects:
        return [], set()
    suspected = [each for name in suspects for each in listed[name]]
    digests = rows.known_versions(suspected)
    changed = {
        (each.model, each.number)
        for each in suspected
        if digests.get((each.model, each.number)) != rows.version_digest(each)
    }
    return [each for each in page if (each.model, each.number) in changed], changed & digests.keys()


def held_numbers(up_to: int) -> Iterator[tuple[str, set[int]]]:
    """Of each mirrored model the numbers of its versions that are not marked deleted, of rows up to this key."""
    joined = {"postgresql": "string_agg(v.number::text, ',')", "sqlite": "group_concat(v.number)"}[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT m.name, {joined} FROM {_TABLES} WHERE v.deleted_at IS NULL AND v.id <= %s GROUP BY m.name",  # noqa: S608  own names
            [up_to],
        )
        for name, numbers in cursor:
            yield name, set(map(int, numbers.split(",")))


_TABLES = f"{ModelVersion._meta.db_table} v JOIN {RegisteredModel._meta.db_table} m ON m.id = v.model_id"  # noqa: SLF001  public in all but name


def _texts(listed: Mapping[str, Sequence[VersionSnapshot]]) -> dict[str, str]:
    """What the mirror has of each model, between the lowest and the highest number that is listed here."""
    vendor = connection.vendor
    moments = (_MILLISECONDS[vendor].format(name) for name in ("created_at", "last_updated_at"))
    lengths = (f"length(v.{name})" for name in _FREE)
    parts = ("v.number", *moments, *lengths, *(f"v.{name}" for name in (*_FREE, *_NAMED)), _TAGS[vendor])
    text = f" || '{_END}' || ".join(parts)
    rows_of_it = (
        f"SELECT m.name, v.number, {text} AS said FROM wanted, {_TABLES} "  # noqa: S608  own names
        "WHERE m.name = wanted.name AND v.number BETWEEN wanted.lowest AND wanted.highest AND v.deleted_at IS NULL "
        "ORDER BY m.name, v.number"
    )
    joined = {
        "postgresql": f"encode(sha256(convert_to(string_agg(said, '{_BETWEEN}' ORDER BY number), 'UTF8')), 'hex')",
        "sqlite": f"group_concat(said, '{_BETWEEN}')",
    }[vendor]
    found: dict[str, str] = {}
    with connection.cursor() as cursor:
        for chunk in rows.chunks(list(listed.items()), MODELS_AT_ONCE):
            wanted = [
                value
                for name, versions in chunk
                for value in (name, min(each.number for each in versions), max(each.number for each in versions))
            ]
            cursor.execute(
                f"WITH wanted(name, lowest, highest) AS (VALUES {', '.join(['(%s, %s, %s)'] * len(chunk))}) "  # noqa: S608
                f"SELECT name, {joined} FROM ({rows_of_it}) AS listed GROUP BY name",
                wanted,
            )
            found.update(cursor.fetchall())
    return found


def _one_text(vendor: str) -> Callable[[Sequence[VersionSnapshot]], str]:
    if vendor == "sqlite":
        return lambda versions: _BETWEEN.join([_said(each, rows.as_json(each.tags)) for each in _ascending(versions)])

    def digest(versions: Sequence[VersionSnapshot]) -> str:
        said = _BETWEEN.join([_said(each, _as_jsonb(each.tags)) for each in _ascending(versions)])
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()

    return digest


def _ascending(versions: Sequence[VersionSnapshot]) -> Sequence[VersionSnapshot]:
    return sorted(versions, key=lambda each: each.number)


def _said(each: VersionSnapshot, tags: str) -> str:
    description, source, run_link, message = each.description, each.source, each.run_link, each.status_message
    return (
        f"{each.number}\x1f{each.created_at}\x1f{each.last_updated_at}\x1f{len(description)}\x1f{len(source)}\x1f"
        f"{len(run_link)}\x1f{len(message)}\x1f{description}\x1f{source}\x1f{run_link}\x1f{message}\x1f{each.stage}\x1f"
        f"{each.status}\x1f{each.run_id}\x1f{each.logged_model_id}\x1f{tags}"
    )


def _as_jsonb(tags: Mapping[str, str]) -> str:
    """As PostgreSQL writes a jsonb: shorter keys first, those of one length by their bytes."""
    keys = _in_order(tuple(tags))
    return "{" + ", ".join([f"{encode_basestring(key)}: {encode_basestring(tags[key])}" for key in keys]) + "}"


@lru_cache(maxsize=1_000)  # most versions of a model have the same ones
def _in_order(keys: tuple[str, ...]) -> list[str]:
    return sorted(keys, key=_length_and_bytes)


def _length_and_bytes(key: str) -> tuple[int, bytes]:
    raw = key.encode("utf-8", "surrogatepass")
    return len(raw), raw
