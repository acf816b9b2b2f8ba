"""The span of time that an audit looks at."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self


@dataclass(frozen=True, slots=True)
class Period:
    since: datetime
    until: datetime
    """Aware; the first moment that is no longer inside."""

    @classmethod
    def last_quarter(cls, now: datetime) -> Self:
        """The last calendar quarter (UTC) that has ended."""
        until = _quarter(now)
        return cls(_quarter(until - timedelta(days=1)), until)

    @classmethod
    def this_quarter(cls, now: datetime) -> Self:
        """The calendar quarter of `now`, in UTC: from its first moment to that of the next one."""
        since = _quarter(now)
        return cls(since, _quarter(since + timedelta(days=95)))

    @classmethod
    def by_default(cls, now: datetime, *, first: datetime | None) -> Self:
        """The last quarter; where nothing is known of it (`first` is the earliest moment of which something is), this
        one."""
        last = cls.last_quarter(now)
        return last if first is not None and first < last.until else cls.this_quarter(now)

    @classmethod
    def last_days(cls, days: int, now: datetime) -> Self:
        """So many whole days (UTC), with the present one."""
        until = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        return cls(until - timedelta(days=days), until)

    @property
    def last_day(self) -> datetime:
        """A moment of the last day inside."""
        return self.until - timedelta(microseconds=1)

    @property
    def words(self) -> str:
        """`2026-07-01 to 2026-09-30`: whole days by their names, else with the time of day."""
        last = self.until - timedelta(days=1)
        if all((each.hour, each.minute, each.second) == (0, 0, 0) for each in (self.since, self.until)):
            return f"{self.since:%Y-%m-%d} to {last:%Y-%m-%d}"
        return f"{self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M} UTC"


def _quarter(moment: datetime) -> datetime:
    """The first moment of the quarter that `moment` is in."""
    moment = moment.astimezone(UTC)
    return datetime(moment.year, (moment.month - 1) // 3 * 3 + 1, 1, tzinfo=UTC)
