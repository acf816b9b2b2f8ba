"""Every test counts requests from nothing: numbers of tokens come again."""

import pytest

from accounts.limits import Limiter
from api import limits


@pytest.fixture(autouse=True)
def counted_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LIMITER", Limiter())
