"""One sentence for each part of the evidence: what differs between challenger and champion. Pure.

Takes the facts of `evidence.freeze` (`version`, `champion`), of which old requests have fewer keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from approvals.evidence.comparison import files, packing, texts, values
from approvals.evidence.comparison.values import ValueRow

Facts = Mapping[str, Any]
NAMED = 3
"""So many of what differs are named."""

LONGEST_NAME, LONGEST_VALUE = 60, 24


@dataclass(frozen=True, slots=True)
class Line:
    key: str
    """Where the comparison page shows it: `params`, `texts`, `files`."""

    title: str
    sentence: str
    is_changed: bool = False


def lines(facts: Facts, champion: Facts | None) -> list[Line]:
    """In the order of the comparison page, without the metrics: those are shown, not told."""
    return [
        _values("params", "Parameters", facts, champion, none="None were logged."),
        _values("tags", "Tags", facts, champion, none="None that the policy names."),
        _texts(facts, champion),
        _packaging(facts, champion),
        _data(facts, champion),
        _files(facts, champion),
        _exhibits(facts),
    ]


def changed(rows: Sequence[ValueRow]) -> str:
    """`3 of 14 differ: max_depth 8 → 9, seed and 1 more.`"""
    different = [_change(row) for row in rows if row.is_changed]
    if not different:
        return f"All {len(rows):,} are the same." if len(rows) > 1 else "The same."
    return f"{values.differing(len(different), len(rows))}: {named(different)}."


def _change(row: ValueRow) -> str:
    """The name, with both values where they are short enough for a sentence."""
    before, after = row.champion, row.challenger
    if before is None or after is None:
        return f"{_short(row.name)} {row.change}"
    if max(len(before), len(after)) > LONGEST_VALUE or not before.strip() or not after.strip():
        return _short(row.name)
    return f"{_short(row.name)} {before} → {after}"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


def named(names: Sequence[str]) -> str:
    """`max_depth, seed and 12 more`."""
    shown = list(names[:NAMED])
    more = len(names) - len(shown)
    return (
        f"{', '.join(shown)} and {more:,} more" if more > 0 else " and ".join(shown) if len(shown) < 3 else _list(shown)
    )


def _list(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _differ(count: int) -> str:
    return "differs" if count == 1 else "differ"


def _values(key: str, title: str, facts: Facts, champion: Facts | None, *, none: str) -> Line:
    mine = facts.get(key) or {}
    theirs = champion.get(key) if champion else None
    if theirs is None:
        return Line(key, title, f"{named([_short(name) for name in sorted(mine)])}." if mine else none)
    rows = values.value_rows(mine, theirs)
    return Line(key, title, changed(rows) if rows else none, any(row.is_changed for row in rows))


def _texts(facts: Facts, champion: Facts | None) -> Line:
    title = "Descriptions"
    kinds = (("description", "description"), ("run_description", "description of the run"))
    if champion is None or "description" not in champion:
        there = [word for key, word in kinds if str(facts.get(key) or "").strip()]
        return Line("texts", title, f"The {' and the '.join(there)}." if there else "No description in MLflow.")
    different = []
    for key, word in kinds:
        mine, theirs = str(facts.get(key) or ""), str(champion.get(key) or "")
        if mine != theirs:
            different.append(f"the {word} ({texts.compare(theirs, mine).summary})")
    if not different:
        is_empty = not str(facts.get("description") or "").strip()
        return Line("texts", title, "Neither version is described." if is_empty else "The same.")
    sentence = f"{' and '.join(different)} {_differ(len(different))}."
    return Line("texts", title, sentence[:1].upper() + sentence[1:], True)


def _packaging(facts: Facts, champion: Facts | None) -> Line:
    title, mine = "Signature and packaging", facts.get("packaging")
    if not mine:
        return Line("packaging", title, "The MLmodel file is not available.")
    theirs = champion.get("packaging") if champion else None
    groups = packing.compare(mine, theirs)
    if theirs:
        told = [f"{group.title.lower()} ({named(_names(group.rows))})" for group in groups if group.changed]
        if not told:
            return Line("packaging", title, "The same signature, flavors and requirements.")
        return Line("packaging", title, f"Changed: {', '.join(told)}.", True)
    counts = [f"{len(group.rows):,} {group.title.lower()}" for group in groups if group.key in ("inputs", "outputs")]
    signature = ", ".join(counts) if mine.get("signature") else "no signature"
    flavors = ", ".join(sorted(mine.get("flavors") or {})) or "no flavors"
    python = f", Python {mine['python_version']}" if mine.get("python_version") else ""
    sentence = f"{signature}; {flavors}; {len(mine.get('requirements') or ()):,} requirements{python}."
    return Line("packaging", title, sentence[:1].upper() + sentence[1:])


def _names(rows: Sequence[ValueRow]) -> list[str]:
    return [_short(row.name) for row in rows if row.is_changed]


def _data(facts: Facts, champion: Facts | None) -> Line:
    title, mine = "Data sets", facts.get("datasets") or ()
    known = dict(facts.get("provenance") or {})
    if not mine and not known:
        return Line("data", title, "No data set, hash or cutoff was logged.")
    if champion is None or "datasets" not in champion:
        count = (
            f"{len(mine):,} data set{'' if len(mine) == 1 else 's'} logged" if mine else "A hash or cutoff was logged"
        )
        return Line("data", title, f"{count}.")
    rows = [*packing.datasets(mine, champion.get("datasets") or ()), *provenance_rows(facts, champion)]
    different = _names(rows)
    if not different:
        return Line("data", title, "The same data sets, hash, cutoff and commit.")
    return Line("data", title, f"Changed: {named(different)}.", True)


ORIGINS = {
    "training_data_hash": "hash of the data",
    "training_cutoff": "data up to",
    "git_commit": "commit",
    "copied_from": "copied from",
}


def provenance_rows(facts: Facts, champion: Facts | None) -> list[ValueRow]:
    """Hash, cutoff and commit of either."""

    def words(found: Facts | None) -> dict[str, str]:
        known = (found or {}).get("provenance") or {}
        return {ORIGINS.get(key, key): str(value) for key, value in known.items()}

    return values.value_rows(words(facts), words(champion))


def _files(facts: Facts, champion: Facts | None) -> Line:
    title, mine = "Files", facts.get("files")
    if not mine:
        return Line("files", title, "They have not been hashed.")
    if "digest" not in mine:
        return Line("files", title, str(mine.get("skipped") or "They have not been hashed."))
    count = int(mine.get("count") or 0)
    sentence = (
        f"{count:,} file{'' if count == 1 else 's'}, {size(mine.get('bytes'))}, digest {str(mine['digest'])[:8]}."
    )
    rows = files.rows(mine, (champion or {}).get("files"))
    different = sum(row.is_changed for row in rows)
    if different:
        sentence += f" {different:,} {_differ(different)} from the champion's."
    return Line("files", title, sentence, bool(different))


def _exhibits(facts: Facts) -> Line:
    count = len(facts.get("exhibits") or {})
    told = f"{count:,} {'is' if count == 1 else 'are'} kept with the evidence." if count else "The run logged none."
    return Line("exhibits", "Figures and tables", told)


UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def size(count: Any) -> str:
    """Bytes for people: `24.3 MB`; `not known` for None."""
    if not isinstance(count, int):
        return "size not known"
    for factor, unit in UNITS:
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count:,} byte{'' if count == 1 else 's'}"
