"""The filters and the order of the inbox and of the review queue, from the address."""

from typing import Any

from django import forms

from approvals.models import Status
from approvals.models.requests import CLOSED, OPEN
from approvals.selectors import inbox

STATES: dict[str, tuple[Status, ...]] = {
    "waiting": (*OPEN, Status.APPLIED),
    "others": (*OPEN, Status.APPLIED),
    "decided": CLOSED,
}
"""Which states the rows of a tab can have; those of the other tabs can have any."""


class InboxFilterForm(forms.Form):
    model = forms.CharField(required=False, max_length=256, label="Model name contains")
    target = forms.ChoiceField(required=False, label="Target")
    requester = forms.ChoiceField(required=False, label="Requested by")
    state = forms.ChoiceField(required=False, label="State")
    sort = forms.ChoiceField(required=False, label="Sort by")

    def __init__(self, data: Any, *, tab: str) -> None:
        super().__init__(data, auto_id="filter_%s")
        people = [(str(pk), name) for pk, name in inbox.requesters()]
        targets = [(name, name) for name in inbox.targets()]
        states = [(str(each.value), str(each.label)) for each in STATES.get(tab, tuple(Status))]
        self._offer("target", [("", "Every target"), *targets])
        self._offer("requester", [("", "Anyone"), *people])
        self._offer("state", [("", "Any state"), *states])
        self._offer("sort", list(inbox.sorts(tab).items()))
        self.fields["model"].widget = forms.TextInput(attrs={"type": "search", "class": "form-control"})

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]

    @property
    def wanted(self) -> inbox.Wanted:
        """What makes sense of the address; the rest filters nothing."""
        self.is_valid()
        return inbox.Wanted(**{name: self.cleaned_data.get(name, "") for name in self.fields})
