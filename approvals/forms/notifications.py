"""What a person says about how to be told: a choice for each kind, and when the digest comes."""

from typing import Any

from django import forms

from approvals.models import How, Kind
from approvals.notifications import preferences
from approvals.notifications.preferences import Wishes


class NotificationForm(forms.Form):
    """`cleaned_data` has `hour`, `time_zone` and one key for each Kind; `choices` has the latter as a mapping."""

    hour = forms.TypedChoiceField(
        label="Hour of the digest", coerce=int, choices=[(hour, f"{hour:02}:00") for hour in range(24)]
    )
    time_zone = forms.ChoiceField(
        label="Time zone", choices=lambda: [(name, name) for name in preferences.time_zones()]
    )

    def __init__(self, data: Any, wishes: Wishes) -> None:
        initial: dict[str, Any] = {kind.value: wishes.how(kind).value for kind in Kind}
        super().__init__(data, initial={**initial, "hour": wishes.hour, "time_zone": wishes.time_zone})
        for kind in Kind:
            usual = preferences.DEFAULTS[kind]
            choices = [(how.value, f"{how.label} (default)" if how == usual else how.label) for how in How]
            self.fields[kind.value] = forms.ChoiceField(label=kind.label, choices=choices)

    @property
    def kinds(self) -> list[forms.BoundField]:
        return [self[kind.value] for kind in Kind]

    @property
    def choices(self) -> dict[Kind, How]:
        return {kind: How(self.cleaned_data[kind.value]) for kind in Kind}
