"""The shape of a freeze window as administrators write it: once or every week, on the clocks of a place."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from approvals.forms.moments import LocalMomentField, on_its_clocks
from approvals.models import FreezeWindow, Target
from approvals.policy import freezes

DAYS = [("", "Choose a day"), *((str(number), day) for number, day in enumerate(freezes.DAYS))]


class ClockField(forms.TimeField):
    def __init__(self, *, label: str, **kwargs: Any) -> None:
        widget = forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
        super().__init__(label=on_its_clocks(label), widget=widget, required=False, **kwargs)


class FreezeForm(forms.Form):
    name = forms.CharField(
        max_length=80, label="Name", help_text="Shown on every request that waits for it: Christmas, Weekend, …"
    )
    reason = forms.CharField(max_length=500, required=False, label="Why", help_text="Shown to people who wait.")
    target = forms.ModelChoiceField(Target.objects.none(), required=False, empty_label="All targets")
    model_pattern = forms.CharField(
        max_length=256,
        label="Models",
        initial="*",
        help_text="A model's name, or a pattern: * is any text, ? any one character. Names are case-sensitive.",
    )
    time_zone = forms.CharField(
        max_length=64,
        label="Time zone",
        initial="UTC",
        help_text="Applies to all times below: UTC, Europe/Berlin, America/New_York, …",
        widget=forms.TextInput(attrs={"list": "time-zones", "autocomplete": "off"}),
    )
    kind = forms.ChoiceField(
        choices=FreezeWindow.Kind.choices, initial=FreezeWindow.Kind.ONCE, widget=forms.RadioSelect, label="How often"
    )
    starts_at = LocalMomentField(label="Begins", help_text="Such as 2026-12-20 18:00.")
    ends_at = LocalMomentField(label="Ends", help_text="Deliveries resume at this time.")
    from_day = forms.TypedChoiceField(choices=DAYS, required=False, coerce=int, empty_value=None, label="From")
    from_time = ClockField(label="At", help_text="Such as 16:00.")
    until_day = forms.TypedChoiceField(choices=DAYS, required=False, coerce=int, empty_value=None, label="Until")
    until_time = ClockField(label="At", help_text="Such as 08:00.")

    def __init__(self, *args: Any, freeze: FreezeWindow, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.freeze = freeze
        self.fields["target"].queryset = Target.objects.current()  # type: ignore[attr-defined]

    def clean_time_zone(self) -> str:
        name = str(self.cleaned_data["time_zone"]).strip()
        if name not in freezes.zones():
            raise forms.ValidationError(
                f"There is no time zone called {name!r}; write one such as Europe/Berlin or UTC."
            )
        return name

    def clean(self) -> dict[str, Any]:
        found = self.cleaned_data
        is_once = found.get("kind") == FreezeWindow.Kind.ONCE
        needed = ("starts_at", "ends_at") if is_once else ("from_day", "from_time", "until_day", "until_time")
        for field in needed:
            if found.get(field) is None and field not in self.errors:
                self.add_error(field, "Enter a start and an end.")
        if not self.errors:
            for problem in freezes.problems_of(self.when()):
                self.add_error(None, problem)
        return found

    def when(self) -> freezes.Once | freezes.Weekly:
        """Of a time that a clock shows twice or skips, a freeze begins at the earlier reading, ends at the later."""
        typed = self.cleaned_data
        if typed["kind"] == FreezeWindow.Kind.WEEKLY:
            return freezes.Weekly(
                typed["from_day"], typed["from_time"], typed["until_day"], typed["until_time"], typed["time_zone"]
            )
        zone = ZoneInfo(typed["time_zone"])
        return freezes.Once(min(_readings(typed["starts_at"], zone)), max(_readings(typed["ends_at"], zone)))

    def window(self) -> FreezeWindow:
        """What was typed, on the window that is edited; not saved."""
        for name in ("name", "reason", "target", "model_pattern"):
            value = self.cleaned_data[name]
            setattr(self.freeze, name, value.strip() if isinstance(value, str) else value)
        self.freeze.when = self.when()
        return self.freeze

    @staticmethod
    def initial_of(freeze: FreezeWindow) -> dict[str, Any]:
        names = ("name", "reason", "model_pattern", "kind", "starts_at", "ends_at")
        days = ("from_day", "from_time", "until_day", "until_time")
        shown = {name: getattr(freeze, name) for name in (*names, *days)}
        return shown | {"target": freeze.target_id, "time_zone": freeze.time_zone or "UTC"}


def _readings(typed: datetime, zone: ZoneInfo) -> list[datetime]:
    return [typed.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
