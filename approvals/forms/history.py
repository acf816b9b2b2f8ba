"""The shapes of what is asked of the record: a moment to travel to, and a file of earlier history."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms

from approvals.forms.model_name import ModelNameField
from approvals.models import Target
from approvals.tenures import importing

WRONG_TIME = "Enter a time such as 2026-11-23 or 2026-11-23T12:04; without a zone it is UTC."
SPANS: Mapping[str, tuple[str, timedelta | None]] = {
    "day": ("Day", timedelta(days=1)),
    "week": ("Week", timedelta(days=7)),
    "month": ("Month", timedelta(days=30)),
    "quarter": ("Quarter", timedelta(days=91)),
    "year": ("Year", timedelta(days=365)),
    "all": ("All", None),
}
"""How much of the time line is seen: its word, and its length (None: everything)."""


def written(at: datetime) -> str:
    """The moment as addresses have it, UTC and exact: `2026-11-23T12:04`, `2026-11-23T12:04:05.123456`."""
    at = at.astimezone(UTC).replace(tzinfo=None)
    return at.isoformat(timespec="auto" if at.second or at.microsecond else "minutes")


class MomentWidget(forms.DateTimeInput):
    """The browser's own picker, which knows thousandths at most: what is finer is rounded up, so that a change that
    happened at the moment stays before it."""

    input_type = "datetime-local"
    supports_microseconds = True

    def format_value(self, value: Any) -> str | None:
        if not isinstance(value, datetime):
            return str(value) if value else None
        # Without a zone, as the form gives it, it is UTC.
        at = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        if at.microsecond:
            with suppress(OverflowError):  # the last moment that there is
                at += timedelta(microseconds=-at.microsecond % 1000)
            return at.isoformat(timespec="milliseconds")
        return at.isoformat(timespec="seconds" if at.second else "minutes")


class MomentField(forms.DateTimeField):
    """ISO 8601; without a zone it is UTC. In an address, the + of a zone is a space."""

    def to_python(self, value: Any) -> datetime | None:
        if isinstance(value, str):
            value = re.sub(r"(T[\d:.]+) (\d\d:?\d\d)$", r"\1+\2", value.strip())
        moment: datetime | None = super().to_python(value)
        try:
            return moment.astimezone(UTC) if moment is not None else None
        except OverflowError as error:
            raise forms.ValidationError(WRONG_TIME, code="invalid") from error


class MomentForm(forms.Form):
    at = MomentField(
        label="Moment (UTC)",
        required=False,
        widget=MomentWidget(attrs={"step": "any", "max": "9999-12-31T23:59:59.999"}),
        error_messages={"invalid": WRONG_TIME},
    )
    model = ModelNameField(label="Model", required=False)
    target = forms.ModelChoiceField(
        Target.objects.none(),
        required=False,
        to_field_name="name",
        empty_label="All targets",
        error_messages={"invalid_choice": "There is no target of this name. Names are case-sensitive."},
    )
    span = forms.ChoiceField(
        choices=[(key, words) for key, (words, _) in SPANS.items()], required=False, widget=forms.HiddenInput
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["target"].queryset = Target.objects.order_by("position", "name")  # type: ignore[attr-defined]

    def clean_model(self) -> str:
        name = str(self.cleaned_data["model"])
        if "\x00" in name:
            raise forms.ValidationError("A name has no NUL character.")
        return name


class ImportForm(forms.Form):
    file = forms.FileField(
        label="CSV file",
        help_text=f"UTF-8, or UTF-16 as Excel saves it; at most {importing.LARGEST // 1024 // 1024} MB and "
        f"{importing.MOST_ROWS:,} rows.",
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,text/csv"}),
        max_length=200,
    )

    def clean_file(self) -> tuple[str, bytes, importing.Checked]:
        """(name, content, verdicts)."""
        sent = self.cleaned_data["file"]
        content = sent.read(importing.LARGEST + 1)  # one more: too large is told
        try:
            return str(sent.name), content, importing.check(content)
        except importing.BadFile as error:
            raise forms.ValidationError(str(error)) from error
