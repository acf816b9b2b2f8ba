"""Reads what MLflow's gate posts: JSON of a known shape, bounded, in text that every database and page can hold."""

import json
from collections.abc import Mapping
from typing import Any

BIGGEST = 2_147_483_647


class Unreadable(Exception):
    """What is wrong with what was posted, as a sentence."""


def listed(body: bytes, most: int) -> list[Mapping[str, Any]]:
    """A list of at most so many objects. Raises Unreadable."""
    found = _json(body)
    if not isinstance(found, list) or len(found) > most or not all(isinstance(each, dict) for each in found):
        raise Unreadable(f"Post a JSON list of at most {most} objects.")
    return found


def single(body: bytes) -> Mapping[str, Any]:
    """One object. Raises Unreadable."""
    found = _json(body)
    if not isinstance(found, dict):
        raise Unreadable("Post a JSON object.")
    return found


def line(said: Mapping[str, Any], key: str, longest: int, *, required: bool = True) -> str:
    """One line of text, cut where it is too long; "" where it is not given. Raises Unreadable."""
    found = said.get(key)
    if found is None:
        found = ""
    if not isinstance(found, str):
        raise Unreadable(f'"{key}" is text.')
    # No token of the ledger's can be forged by it, either: those are written in these brackets.
    plain = " ".join("".join(char if char.isprintable() and char not in "⟨⟩" else " " for char in found).split())
    if required and not plain:
        raise Unreadable(f'"{key}" is missing.')
    return plain[:longest]


def number(said: Mapping[str, Any], key: str) -> int | None:
    """A whole number from 1 on, also as text; None for anything else."""
    try:
        found = int(str(said.get(key)))
    except ValueError:
        return None
    return found if 0 < found <= BIGGEST else None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable("That is not JSON.") from error
