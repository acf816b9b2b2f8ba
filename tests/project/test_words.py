"""The words that we do not use (docs/terms.md) are in no page, mail, message, help text of a column or page of the
documentation, decisions included."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TERMS = ROOT / "docs" / "terms.md"
PACKAGES = ("accounts", "api", "approvals", "components", "mirror", "registry_ui")
HEADING = "## Words we do not use"

FROZEN = {"approvals/evidence/approval_note.py": "break-glass"}
"""Notes in MLflow are compared with what is written anew, so their words stay."""


def forbidden() -> list[str]:
    """The left column of the table, one entry for each word between commas."""
    table = TERMS.read_text().partition(HEADING)[2]
    rows = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)
    return [word.strip() for row in rows if row != "word" and "---" not in row for word in row.split(",")]


def pattern(words: list[str]) -> re.Pattern[str]:
    ways = "|".join(r"\s+".join(map(re.escape, word.split())) for word in sorted(words, key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{ways})(?![\w-])", re.IGNORECASE)


def in_template(source: str) -> Iterator[tuple[int, str]]:
    """Text, and what is quoted in tags and attributes; no comments, no code, no names of files."""
    source = re.sub(
        r"\{% comment.*?endcomment %\}|\{#.*?#\}|<code.*?</code>|<pre.*?</pre>", _blank, source, flags=re.DOTALL
    )
    for tag in re.finditer(r"\{%.*?%\}|\{\{.*?\}\}", source, re.DOTALL):
        for quoted in re.finditer(r'"([^"]*)"', tag[0]):
            if " " in quoted[1]:
                yield source.count("\n", 0, tag.start() + quoted.start()) + 1, quoted[1]
    plain = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", _blank, source, flags=re.DOTALL)
    for read in re.finditer(r'\b(?:title|aria-label|data-label|placeholder|alt)="([^"]*)"', plain):
        yield plain.count("\n", 0, read.start()) + 1, read[1]
    bare = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", _blank, source, flags=re.DOTALL)
    yield 1, bare


def in_python(source: str) -> Iterator[tuple[int, str]]:
    """Strings of two words and more; no docstrings, no SQL."""
    tree = ast.parse(source)
    unread = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in unread
        if is_text and " " in node.value.strip():  # type: ignore[attr-defined]
            yield node.lineno, node.value  # type: ignore[attr-defined]


def in_page(source: str) -> Iterator[tuple[int, str]]:
    """Markdown without code and without the table of these words."""
    source = source.partition(HEADING)[0]
    yield 1, re.sub(r"```.*?```|`[^`\n]*`", _blank, source, flags=re.DOTALL)


def found(read: Iterator[tuple[int, str]], words: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    for line, text in read:
        for match in words.finditer(text):
            yield line + text.count("\n", 0, match.start()), match[0]


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def files() -> Iterator[Path]:
    yield from sorted((ROOT / "templates").rglob("*.*"))
    for package in PACKAGES:
        yield from sorted(path for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts)
    yield from [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


READERS = {".html": in_template, ".txt": in_template, ".py": in_python, ".md": in_page}


def test_the_words_on_the_left_are_nowhere() -> None:
    words = pattern(forbidden())
    bad = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in files()
        for line, word in found(READERS[path.suffix](path.read_text()), words)
        if FROZEN.get(str(path.relative_to(ROOT))) != word
    ]
    assert bad == []


@pytest.mark.parametrize(
    ("suffix", "source", "line"),
    [
        (".html", "<p>\n  It waits for\n  somebody else.</p>", 3),
        (".html", '<p>\n{% empty "users" "Nobody matches." %}', 2),
        (".html", '<button title="Whoever asked">x</button>', 1),
        (".py", 'x = 1\nraise Invalid(f"Somebody else was {x} faster.")', 2),
        (".py", 'LABELS = {"a": "Break the glass"}', 1),
        (".py", 'name = models.TextField(help_text="Of somebody else.")', 1),
        (".md", "# A\n\nIt is delivered by\nitself.", 3),
    ],
)
def test_a_planted_word_is_found(suffix: str, source: str, line: int) -> None:
    assert [place for place, _ in found(READERS[suffix](source), pattern(forbidden()))] == [line]


@pytest.mark.parametrize(
    ("suffix", "source"),
    [
        (".html", "{# for somebody #}{% comment %} nobody {% endcomment %}<code>nobody</code>"),
        (".html", '{% include "nobody.html" with somebody=nobody %}'),
        (".py", '"""Somebody asks."""\nx = {"nobody": 1}  # somebody\n'),
        (".md", "Use `manage.py somebody`, or a nobody-else."),
    ],
)
def test_what_people_do_not_read_is_left_alone(suffix: str, source: str) -> None:
    assert list(found(READERS[suffix](source), pattern(forbidden()))) == []


def test_the_table_is_read() -> None:
    words = forbidden()
    assert len(words) == len(set(words)) > 30
    assert {"somebody", "nobody", "outside the gate"} <= set(words)
