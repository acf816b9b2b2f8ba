"""index.html of an archive: what it is, the sampled units with links to the files of each, and how to check it. One
page without script that needs no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string

from approvals.audit import dossier
from approvals.audit.completeness import Statement
from approvals.audit.population import Scope
from approvals.audit.sampling import Sample
from approvals.audit.units import Unit

_STYLES = (
    "body { max-width: 84rem; margin: 2rem auto; padding: 0 1.5rem; color: #1d2330; } h1 { margin-bottom: 0.25rem; } "
    "h2 { margin-top: 2.25rem; } dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1.5rem; } "
    "dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; } tbody th { font-weight: 600; } "
    "thead th { color: #555; font-weight: 600; } ul { margin: 0; padding-inline-start: 1.2rem; } "
    "td, th { overflow-wrap: break-word; max-width: 24rem; } "
    ".number { white-space: nowrap; font-variant-numeric: tabular-nums; } "
    ".files { display: flex; flex-wrap: wrap; gap: 0 0.9rem; min-width: 15rem; padding: 0; list-style: none; } "
    ".state { padding: 0.6rem 0.9rem; border: 1px solid #2f7d4f; "
    "border-inline-start-width: 6px; } .state.is-bad { border-color: #b3261e; } pre { padding: 0.75rem; "
    "background: #f3f4f6; white-space: pre-wrap; } .wide { overflow-x: auto; }\n"
)
FIRST = ("certificate.html", "request.json", "evidence.json", "incident.json")
"""Of a unit's files: what most people open. The others follow in the order in which they were written."""

GENERAL = (
    ("README.txt", "Explains every file; how to reproduce the sample and check the hashes of the events."),
    ("population.csv", "Every delivery and incident of the period, one row each."),
    ("sample.csv", "The rows that were drawn, with rank and folder."),
    ("completeness.json", "The statement with all of its numbers."),
    ("incidents.json", "Changes outside Countersign, and how each was resolved."),
    ("MANIFEST.sha256", "SHA-256 of every other file."),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One sampled unit as the page tells it."""

    rank: int
    unit: Unit
    plain: Mapping[str, Any]
    """As in population.csv."""

    files: Sequence[tuple[str, str]]
    """(name inside the folder, path inside the archive)."""


def page(
    scope: Scope,
    sample: Sample,
    statement: Statement,
    folders: Sequence[tuple[str, Unit]],
    sums: Sequence[tuple[str, str]],
    *,
    at: datetime,
    by: str,
) -> str:
    """HTML, times in UTC. `folders`: (folder, unit) as they were drawn; `sums`: (path, SHA-256 in hexadecimal) of every
    file that was written before this one."""
    context = {
        "scope": scope,
        "sample": sample,
        "statement": statement,
        "total": statement.seen + statement.beside,
        "rows": _rows(folders, [name for name, _ in sums]),
        "general": GENERAL,
        "sums": sums,
        "at": at,
        "by": by,
        "site_name": settings.SITE_NAME,
        "style_sheet": dossier.style_sheet(_STYLES),
    }
    return render_to_string("approvals/audit/archive_index.html", context)


def _rows(folders: Sequence[tuple[str, Unit]], paths: Sequence[str]) -> list[Row]:
    inside: dict[str, list[tuple[str, str]]] = {folder: [] for folder, _ in folders}
    for path in paths:
        folder = "/".join(path.split("/")[:2])
        if folder in inside:
            inside[folder].append((path.removeprefix(f"{folder}/"), path))
    return [
        Row(rank, unit, unit.as_plain(), sorted(inside[folder], key=lambda each: _place(each[0])))
        for rank, (folder, unit) in enumerate(folders, 1)
    ]


def _place(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)
