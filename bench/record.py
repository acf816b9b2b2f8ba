"""docs/benchmarks.md: the last whole run of each database, with the machine and the date."""

import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.version import VERSION
from tools.services import find

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
MARK = "row "
"""Begins a line in which a part tells a row."""

MILLION = "A million versions, PostgreSQL"
SECTIONS = ("SQLite", "PostgreSQL", MILLION)
HEAD = "| part | what | measured | limit | ratio | bar | |\n| --- | --- | ---: | ---: | ---: | --- | --- |"


def keep(section: str, outcomes: Sequence[Any], page: Path = PAGE, *, is_whole: bool = True) -> None:
    """Puts the rows in the place of the section's last ones; the other sections stay. Of a run of single parts, those
    of its parts alone, and the section says of which parts they are and when they were measured."""
    text = page.read_text()
    before, _, _ = text.partition("\n## ")
    kept = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    machine, lines = _machine(section), _lines(outcomes)
    if not is_whole:
        parts = {outcome.part for outcome in outcomes}
        said, rows = _split(kept.get(section, ""))
        lines = [row for row in rows if row.split("|")[1].strip() not in parts] + lines
        machine = f"{said}\n\nAfterwards {', '.join(f'`{part}`' for part in sorted(parts))}: {machine}".strip()
    kept[section] = f"\n{machine}\n\n{HEAD}\n" + "".join(f"{line}\n" for line in lines) + "\n"
    told = [f"## {name}\n{kept[name]}" for name in SECTIONS if name in kept]
    page.write_text(before.rstrip("\n") + "\n\n" + "".join(told).rstrip("\n") + "\n")


def _split(section: str) -> tuple[str, list[str]]:
    """What a section says before its table, and the table's rows without its head."""
    said, _, table = section.partition(HEAD)
    return said.strip(), [line for line in table.splitlines() if line.startswith("| ")]


def _lines(outcomes: Sequence[Any]) -> list[str]:
    lines = []
    for outcome in outcomes:
        for row in outcome.rows:
            cells = (
                outcome.part,
                row.name.strip(),
                f"{row.value:,.1f} {row.unit}",
                f"{row.limit:,.1f} {row.unit}",
                f"{row.ratio:.2f}",
                row.bar_told,
                "met" if row.is_met else f"**not met** {row.fault}".strip(),
            )
            lines.append("| " + " | ".join(cell.replace("|", "∣") for cell in cells) + " |")
        if outcome.failed:
            lines.append(f"| {outcome.part} | the part failed | | | | | **not met** |")
    return lines


def _machine(section: str) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    database = f"SQLite {sqlite3.sqlite_version}" if section == "SQLite" else _postgresql()
    words = [
        f"{datetime.now(UTC):%Y-%m-%d}, version {VERSION}",
        f"{os.cpu_count()} cores, {memory:.0f} GB of memory",
        f"Python {platform.python_version()}, {database}",
        f"load average {os.getloadavg()[2]:.1f} in the last 15 minutes.",
    ]
    return "; ".join(words)


def _postgresql() -> str:
    initdb = find("initdb")
    told = subprocess.run([str(initdb), "--version"], check=True, capture_output=True, text=True).stdout
    return f"PostgreSQL {told.split()[2]}"
