"""Strict readers of YAML's nodes, which know their lines. Each takes a node and gives plain data, or raises BadFile."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import yaml


class BadFile(Exception):
    """What is wrong with a file, in a sentence that names the line."""


Reader = Callable[[yaml.Node], Any]


def fail(where: yaml.Node | yaml.Event, words: str) -> BadFile:
    line = where.start_mark.line + 1 if where.start_mark else "?"
    return BadFile(f"Line {line}: {words}")


def scalar(kind: str, words: str) -> Reader:
    def read(node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode) or node.tag != f"tag:yaml.org,2002:{kind}":
            raise fail(node, f"this has to be {words}.")
        return _value(node, words)

    return read


def _value(node: yaml.ScalarNode, words: str) -> Any:
    """What the scalar stands for. An explicit tag promises a kind that the text need not be (`!!bool x`), and escapes
    can spell characters that no database keeps."""
    try:
        found = yaml.constructor.SafeConstructor().construct_object(node)
    except (ValueError, KeyError, IndexError, yaml.YAMLError) as error:
        raise fail(node, f"this has to be {words}.") from error
    if isinstance(found, str) and _UNKEPT.search(found):
        raise fail(node, "there is a character in it that cannot be kept (NUL, or half a surrogate pair).")
    return found


_UNKEPT = re.compile("[\x00\ud800-\udfff]")
"""PostgreSQL keeps no NUL, and UTF-8 no lone surrogate."""


text, whole, flag = scalar("str", "text"), scalar("int", "a whole number"), scalar("bool", "true or false")


def or_nothing(read: Reader) -> Reader:
    def maybe(node: yaml.Node) -> Any:
        return None if node.tag == "tag:yaml.org,2002:null" else read(node)

    return maybe


def one_of(choices: Mapping[str, Any] | type[StrEnum], what: str) -> Reader:
    names = [str(each) for each in choices]

    def read(node: yaml.Node) -> str:
        found = str(text(node))
        if found not in names:
            raise fail(node, f"{found!r} is no {what}; it is one of {', '.join(names)}.")
        return found

    return read


def listed(read: Reader) -> Reader:
    def every(node: yaml.Node) -> list[Any]:
        if not isinstance(node, yaml.SequenceNode):
            raise fail(node, "this has to be a list.")
        return [read(each) for each in node.value]

    return every


def items(node: yaml.Node) -> list[tuple[str, yaml.Node, yaml.Node]]:
    """(key, its node, the value's node), each key once. Raises BadFile."""
    if not isinstance(node, yaml.MappingNode):
        raise fail(node, "this has to be a group of `key: value`.")
    seen: dict[str, tuple[str, yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        name = str(text(key))
        if name in seen:
            raise fail(key, f"{name!r} is here twice.")
        seen[name] = (name, key, value)
    return list(seen.values())


def group(fields: Mapping[str, Reader], *needed: str) -> Reader:
    def read(node: yaml.Node) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, key, value in items(node):
            if name not in fields:
                raise fail(key, f"there is no {name!r} here; there are {', '.join(fields)}.")
            found[name] = fields[name](value)
        for name in needed:
            if name not in found:
                raise fail(node, f"{name!r} is missing.")
        return found

    return read


def plain(node: yaml.Node) -> Any:
    """A setting of a check: a plain value or a list of them; what it may be the check itself says. Raises
    BadFile."""
    if isinstance(node, yaml.SequenceNode):
        return [plain(each) for each in node.value]
    if not isinstance(node, yaml.ScalarNode) or node.tag not in _PLAIN_TAGS:
        raise fail(node, "a setting is a plain value or a list of them.")
    return _value(node, "a plain value")


_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null")}
