"""The filters of the history, from the URL: what may be asked, what is nonsense, and what is set, in words."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import django_filters as filters
from django import forms
from django.db.models import Exists, OuterRef

from accounts.models import User
from approvals.forms.model_name import ModelNameField
from approvals.forms.moments import MomentField, UntilField
from approvals.models import Action, AuditEvent, PromotionRequest, Target
from approvals.models.event_types import KINDS
from approvals.selectors import history
from approvals.selectors.history import Events
from mirror.models import RegisteredModel

WORKER = "worker"

# --- Filters ----------------------------------------------------------------------------------------------------------


def _actions() -> list[tuple[str, list[tuple[str, str]]]]:
    """One group per kind; a kind with several actions starts with all of them."""
    groups = []
    for kind, label in KINDS.items():
        members = [(str(action.value), str(action.label)) for action in Action if action.kind == kind]
        every = [(kind, f"{label}: all")] if len(members) > 1 else []
        groups.append((label, [*every, *members]))
    return groups


def _people() -> list[tuple[str, str]]:
    acted = User.objects.filter(Exists(AuditEvent.objects.filter(actor=OuterRef("pk")))).order_by("name", "email")
    return [(WORKER, history.WORKER_LABEL), *((str(person.pk), person.label) for person in acted)]


def _targets() -> list[tuple[str, str]]:
    """Events name a target as it was called then."""
    return [(name, name) for name in Target.objects.order_by("position", "name").values_list("name", flat=True)]


class HistoryForm(forms.Form):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Read once a form: given as functions, they would be asked again by the check, the widget and the words.
        for name, choices in (("person", _people()), ("target", _targets())):
            self.fields[name].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        found = self.cleaned_data
        name = found.get("model")
        if name and not RegisteredModel.objects.filter(name=name).exists():
            self.add_error("model", "No model has this name. Names are case-sensitive.")
        if found.get("version") is not None and not self.data.get("model"):
            self.add_error("version", "Enter the model of the version.")
        number = found.get("request")
        if number is not None and not PromotionRequest.objects.filter(pk=number).exists():
            self.add_error("request", f"There is no request #{number}.")
        since, until = found.get("since"), found.get("until")
        if since and until and since >= until:
            self.add_error("until", "The end must be after the start.")
        return found


class IntegerFilter(filters.Filter):  # type: ignore[misc]
    field_class = forms.IntegerField


class ModelFilter(filters.Filter):  # type: ignore[misc]
    field_class = ModelNameField


class SinceFilter(filters.Filter):  # type: ignore[misc]
    field_class = MomentField


class UntilFilter(filters.Filter):  # type: ignore[misc]
    field_class = UntilField


_BIGGEST = 2_147_483_647


class HistoryFilter(filters.FilterSet):  # type: ignore[misc]
    model = ModelFilter(field_name="model_name", label="Model")
    version = IntegerFilter(field_name="version_number", label="Version", min_value=1, max_value=_BIGGEST)
    target = filters.ChoiceFilter(field_name="target_name", label="Target", choices=(), empty_label="Every target")
    request = IntegerFilter(field_name="request", label="Request", min_value=1, max_value=_BIGGEST)
    person = filters.ChoiceFilter(label="Person", choices=(), empty_label="Everyone", method="by_person")
    action = filters.ChoiceFilter(label="Action", choices=_actions, empty_label="Everything", method="by_action")
    since = SinceFilter(label="From", method="unchanged")
    until = UntilFilter(label="To", method="unchanged")

    class Meta:
        model = AuditEvent
        form = HistoryForm
        fields: list[str] = []

    def by_person(self, events: Events, _name: str, value: str) -> Events:
        return events.filter(actor=None if value == WORKER else int(value))

    def by_action(self, events: Events, _name: str, value: str) -> Events:
        return events.filter(action__in=[action for action in Action if value in (action, action.kind)])

    def unchanged(self, events: Events, _name: str, _value: datetime) -> Events:
        """Both ends of the span are applied together, in `filter_queryset`."""
        return events

    def filter_queryset(self, queryset: Events) -> Events:
        if self.errors:
            return queryset.none()
        found: Events = super().filter_queryset(queryset)
        return history.within(found, self.form.cleaned_data["since"], self.form.cleaned_data["until"])

    def active(self) -> list[tuple[str, str, str]]:
        """(parameter, label, value in words) of each filter that is set and makes sense."""
        rows, wrong = [], self.form.errors  # asked first: this is what fills `cleaned_data`
        for name, value in self.form.cleaned_data.items():
            if value not in (None, "") and name not in wrong:
                rows.append((name, str(self.filters[name].label), self._words(name, value)))
        return rows

    def _words(self, name: str, value: Any) -> str:
        if name in ("since", "until"):
            return f"{self.data[name].replace('T', ' ')} UTC"
        if name in ("person", "action"):
            return next(label for key, label in _flat(self.form.fields[name].choices) if key == value)
        return f"#{value}" if name == "request" else str(value)


def _flat(choices: Any) -> Iterator[tuple[str, str]]:
    for key, label in choices:
        if isinstance(label, list | tuple):
            yield from label
        else:
            yield str(key), str(label)
