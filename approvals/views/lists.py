"""What a page with a list hands over besides its rows: the tabs above it, and what it says without any."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tab:
    name: str
    words: str
    is_open: bool
    count: int | None = None
    """None where it is not counted."""

    is_marked: bool = False
    """Its rows ask for something."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """With where one can go instead, if anywhere."""

    symbol: str
    title: str
    text: str
    action: str = ""
    url: str = ""
