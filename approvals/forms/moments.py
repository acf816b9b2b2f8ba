"""A moment as people and addresses write it: the browser's own picker, ISO 8601, and a label that names the zone."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

WRONG_TIME = "Enter a time such as 2026-11-23 or 2026-11-23T12:04; without a zone it is UTC."
LAST = "9999-12-31T23:59:59.999"


def written(at: datetime) -> str:
    """The moment as addresses have it, UTC and exact: `2026-11-23T12:04`, `2026-11-23T12:04:05.123456`."""
    at = at.astimezone(UTC).replace(tzinfo=None)
    return at.isoformat(timespec="auto" if at.second or at.microsecond else "minutes")


class MomentInput(forms.DateTimeInput):
    """The browser's own picker. It shows nothing for a bare day, so a day gets the time that it stands for. It knows
    thousandths at most: what is finer is rounded up, so that a change that happened at the moment stays before it."""

    input_type = "datetime-local"
    supports_microseconds = True

    def __init__(self, *, day_means: str = "00:00", attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs={"max": LAST} | (attrs or {}))
        self.day_means = day_means

    def format_value(self, value: Any) -> str | None:
        if not isinstance(value, datetime):
            typed = str(value) if value else None
            return f"{typed}T{self.day_means}" if typed and len(typed) == 10 else typed
        # Without a zone, as the form gives it, it is what the label says.
        at = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        if at.microsecond:
            with suppress(OverflowError):  # the last moment that there is
                at += timedelta(microseconds=-at.microsecond % 1000)
            return at.isoformat(timespec="milliseconds")
        return at.isoformat(timespec="seconds" if at.second else "minutes")


class _UtcField(forms.DateTimeField):
    """Whatever zone the page has: no clock skips an hour, and what is shown is what was kept."""

    def prepare_value(self, value: Any) -> Any:
        with timezone.override(UTC):
            return super().prepare_value(value)

    def to_python(self, value: Any) -> datetime | None:
        with timezone.override(UTC):
            moment: datetime | None = super().to_python(value)
        return moment


class MomentField(_UtcField):
    """Cleans to a moment in UTC, or None. Without a zone it is UTC, as the label says. In an address, the + of
    a zone is a space."""

    day_means = "00:00"

    def __init__(
        self, *, label: str, required: bool = False, attrs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(
            label=f"{label} (UTC)",
            required=required,
            widget=MomentInput(day_means=self.day_means, attrs=attrs),
            error_messages={"invalid": WRONG_TIME},
            **kwargs,
        )

    def to_python(self, value: Any) -> datetime | None:
        if isinstance(value, str):
            value = re.sub(r"(T[\d:.]+) (\d\d:?\d\d)$", r"\1+\2", value.strip())
        moment = super().to_python(value)
        try:
            return moment.astimezone(UTC) if moment is not None else None
        except OverflowError as error:
            raise forms.ValidationError(WRONG_TIME, code="invalid") from error


class UntilField(MomentField):
    """The end of a span of time: a day, minute or second counts as a whole. Cleans to the first moment after it."""

    day_means = "23:59"

    def to_python(self, value: Any) -> datetime | None:
        moment = super().to_python(value)
        if moment is None:
            return None
        clock = re.sub(r"(?<=:\d\d)(Z|[+ -]\d\d:?\d\d)$", "", str(value).strip())[10:]
        whole = timedelta(seconds=1) if clock.count(":") > 1 else timedelta(minutes=1) if clock else timedelta(days=1)
        try:
            return moment + whole
        except OverflowError as error:
            raise forms.ValidationError(WRONG_TIME, code="invalid") from error


class LocalMomentField(_UtcField):
    """On the clocks of a place that the form asks for before: cleans to a moment without a zone. One with a zone is
    shown in UTC, so the form names that place then."""

    def __init__(self, *, label: str, **kwargs: Any) -> None:
        super().__init__(label=on_its_clocks(label), required=False, widget=MomentInput(), **kwargs)

    def to_python(self, value: Any) -> datetime | None:
        moment = super().to_python(value)
        return moment.replace(tzinfo=None) if moment is not None else None


def on_its_clocks(label: str) -> str:
    """The label of a time on the clocks of a place that the form asks for before."""
    return f"{label} (time zone above)"
