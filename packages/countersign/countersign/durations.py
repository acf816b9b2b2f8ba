"""`4h`, `1h30m`, `90s`: how long to wait."""

from __future__ import annotations

import re

UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
FORM = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)


def seconds(text: str) -> int:
    """`90` is seconds. Raises ValueError for what is no duration."""
    if text.isascii() and text.isdigit():
        return int(text)
    found = FORM.fullmatch(text)
    if not text or not found:
        raise ValueError(f"{text!r} is no duration: write 90s, 30m, 4h or 1h30m.")
    return sum(int(number or 0) * unit for number, unit in zip(found.groups(), UNITS.values()))


def words(number: float) -> str:
    """`4 h 10 min`, to a minute; below two minutes in seconds."""
    number = int(number)
    if number < 120:
        return f"{number} s"
    hours, minutes = number // 3_600, number % 3_600 // 60
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)
