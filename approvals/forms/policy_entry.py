"""Everything that the page of a policy sends: its terms, slots, checks and metrics of record, read as one entry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from approvals.forms.metrics_of_record import metric_forms
from approvals.forms.policy import CheckForms, PolicyForm, slot_forms
from approvals.models import Policy, Target
from approvals.policy import Rule, SlotRule

SCOPE = ("target", "model_pattern")
CONDITIONS = (
    "requires_reason",
    "excludes_contributors",
    "contributor_tags",
    "reauthenticate",
    "within_minutes",
    "asks_meaning",
    "allows_findings",
)
EVIDENCE = ("watched_tags", "files_limit_mb")


@dataclass(frozen=True, slots=True)
class OpenParts:
    """Which folded parts of the page are open: the first two, and each with a mistake in it."""

    conditions: bool = False
    evidence: bool = False
    afterwards: bool = False


class PolicyEntry:
    """The forms of one policy, with what was sent (`data`) or as the policy has it (None). Never saves."""

    def __init__(self, data: QueryDict | None, policy: Policy, initial: Mapping[str, Any]) -> None:
        self.policy = policy
        self.form = PolicyForm(data, policy=policy, initial=initial)
        self.slots = slot_forms(data, policy)
        self.checks = CheckForms(data, policy)
        self.metrics = metric_forms(data, Rule.from_json(policy.terms).metrics if policy.pk else ())
        self.is_adding_check = False

    def add_row(self, check: str | None) -> None:
        """What was sent with one more check of this kind, or one more slot (None), and no word on its mistakes yet."""
        if check is not None:
            self.checks.add(check)
            self.is_adding_check = True
        elif self.slots.forms:
            self.slots.forms[-1].fields["group"].widget.attrs["autofocus"] = True
        self.is_valid()
        for each in (self.form, *self.slots.forms, *self.checks.forms, *self.metrics.forms):
            each.errors.clear()
        for rows in (self.slots, self.metrics):
            rows.non_form_errors().clear()

    def is_valid(self) -> bool:
        """Looks at every form, so that every mistake is shown."""
        return all([self.form.is_valid(), *self._others_are_valid()])

    def rule(self) -> Rule:
        """The document that was typed. Only after `is_valid`."""
        return self.form.rule(self.slots.slots(), self.checks.checks(), self.metrics.rules())

    def draft(self) -> Rule | None:
        """What the page says now, for its sentence: as typed, even without a target yet; None with a mistake in it."""
        if not self.form.is_bound:
            return Rule.from_json(self.policy.terms) if self.policy.pk else Rule("*", (SlotRule(1, None),))
        is_complete = all(self._others_are_valid()) and set(self.form.errors) <= {"target"}
        return self.rule() if is_complete else None

    @property
    def target(self) -> Target | None:
        """The target that is chosen, or that the page begins with."""
        chosen = self.form["target"].value()
        return Target.objects.current().filter(pk=chosen).first() if str(chosen or "").isdecimal() else None

    def mistakes(self) -> list[str]:
        """`Models: This field is required.`, and the same of slots, checks and metrics."""
        found = [f"{self.form[name].label}: {errors[0]}" for name, errors in self.form.errors.items() if name in _named]
        found += self.slots.non_form_errors() + self.metrics.non_form_errors()
        forms = [*self.slots.forms, *self.checks.forms, *self.metrics.forms]
        return found + [errors[0] for form in forms for errors in form.errors.values()]

    @property
    def open_parts(self) -> OpenParts:
        wrong = set(self.form.errors) if self.form.is_bound else set()
        has_bad_rows = self.form.is_bound and not all([self.checks.is_valid(), self.metrics.is_valid()])
        return OpenParts(
            conditions=bool(wrong & set(CONDITIONS)),
            evidence=self.is_adding_check or has_bad_rows or bool(wrong & set(EVIDENCE)),
            afterwards=bool(wrong - {*SCOPE, *CONDITIONS, *EVIDENCE, "__all__", "seen"}),
        )

    def _others_are_valid(self) -> list[bool]:
        return [self.slots.is_valid(), self.checks.is_valid(), self.metrics.is_valid()]


_named = frozenset(PolicyForm.base_fields)
