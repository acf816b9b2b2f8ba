"""The archive of a sample: one ZIP, made while it is sent. One file of one change is in memory at a time, nothing is
stored on disk."""

import hashlib
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from approvals.audit import completeness, dossier, index, population, readme, units
from approvals.audit.population import Scope
from approvals.audit.sampling import Sample


class _Outlet:
    """What the ZIP is written to: hands on what has come since the last time."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


class _Writer:
    """Adds files one after another and keeps the digest of each."""

    def __init__(self, at: datetime) -> None:
        self.outlet = _Outlet()
        self.zip = zipfile.ZipFile(self.outlet, "w", zipfile.ZIP_DEFLATED)  # type: ignore[call-overload]
        self.manifest: list[tuple[str, str]] = []
        self._at = at.astimezone(UTC).timetuple()[:6]

    def add(self, name: str, parts: Iterator[bytes]) -> Iterator[bytes]:
        digest, info = hashlib.sha256(), zipfile.ZipInfo(name, self._at)
        info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
        with self.zip.open(info, "w", force_zip64=True) as file:
            for part in parts:
                digest.update(part)
                file.write(part)
                yield self.outlet.take()
        self.manifest.append((name, digest.hexdigest()))
        yield self.outlet.take()

    def close(self) -> bytes:
        self.zip.close()
        return self.outlet.take()


def stream(scope: Scope, sample: Sample, *, at: datetime, by: str) -> Iterator[bytes]:
    """The ZIP as it is made, for the sample of the population of `scope`; `at` and `by` are of the event that records
    the export."""
    writer = _Writer(at)
    drawn = units.of(sample.ids)
    statement = completeness.state(scope)
    told = readme.text(scope, sample, statement, site=settings.SITE_NAME, at=at, by=by)
    yield from writer.add("README.txt", iter([told.encode()]))
    yield from writer.add("completeness.json", iter([dossier.as_json(statement.as_plain())]))
    yield from writer.add("incidents.json", iter([dossier.as_json(_incidents(statement))]))
    yield from writer.add(
        "population.csv",
        _encoded(population.csv_lines(units.COLUMNS, (each.as_plain() for each in units.every(scope)))),
    )
    rows = ({"rank": rank, "folder": folder_of(rank, each), **each.as_plain()} for rank, each in enumerate(drawn, 1))
    yield from writer.add("sample.csv", _encoded(population.csv_lines(("rank", "folder", *units.COLUMNS), rows)))
    for rank, unit in enumerate(drawn, 1):
        for name, content in dossier.files(unit):
            yield from writer.add(f"{folder_of(rank, unit)}/{name}", iter([content]))
    folders = [(folder_of(rank, unit), unit) for rank, unit in enumerate(drawn, 1)]
    page = index.page(scope, sample, statement, folders, writer.manifest, at=at, by=by)
    yield from writer.add("index.html", iter([page.encode("utf-8", "surrogatepass")]))
    lines = [f"{digest}  {name}\n" for name, digest in writer.manifest]
    yield from writer.add("MANIFEST.sha256", iter(["".join(lines).encode()]))
    yield writer.close()


def folder_of(rank: int, unit: units.Unit) -> str:
    """`units/001-event-412`"""
    return f"units/{rank:03}-{unit.id}"


def name_of(scope: Scope) -> str:
    """The file's name: the period's days in UTC, as in `countersign-audit-2026-10-01-2027-01-01.zip`."""
    period = scope.period
    return f"countersign-audit-{period.since:%Y-%m-%d}-{period.until:%Y-%m-%d}.zip"


def _encoded(lines: Iterator[str]) -> Iterator[bytes]:
    return (line.encode("utf-8", "surrogatepass") for line in lines)


def _incidents(statement: completeness.Statement) -> list[dict[str, Any]]:
    return [dossier.describe_incident(each) for each in statement.incidents]
