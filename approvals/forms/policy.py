"""Shapes of what administrators send for a policy: its terms, its slots and its checks. Forms never save."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet
from django.http import QueryDict

from accounts import roles as role_names
from approvals import checks
from approvals.models import Policy, Target
from approvals.policy import (
    ALWAYS_SEEN,
    PARTS,
    BreakGlassRule,
    CheckRule,
    Effect,
    MetricRule,
    OnBypass,
    ProbationRule,
    ReminderRule,
    RollbackRule,
    Rule,
    SignatureRule,
    SlotRule,
    rules,
)

# --- Terms ------------------------------------------------------------------------------------------------------------

ON_BYPASS = [
    (OnBypass.REPORT, "Report it"),
    (OnBypass.PUT_BACK, "Restore the last approved version"),
    (OnBypass.REVIEW, "Create a request for review"),
]


class PolicyForm(forms.Form):
    """The terms of a policy. The first seven fields say what happens after approval, or without it: one that was not
    sent, or was left empty, leaves the policy as it was, but for the probation: empty is none."""

    on_bypass = forms.ChoiceField(
        choices=ON_BYPASS,
        required=False,
        label="A change outside Countersign",
        help_text="When the target changes in MLflow without a delivery.",
    )
    rollback_approvals = forms.IntegerField(
        min_value=1, max_value=rules.MOST_APPROVALS, required=False, initial=1, label="Approvals for a rollback"
    )
    rollback_group = forms.ModelChoiceField(
        Group.objects.order_by("name"), required=False, to_field_name="name", empty_label="Any reviewer", label="From"
    )
    rollback_alone = forms.ChoiceField(
        choices=[("yes", "May act alone"), ("no", "Need the approvals as well")],
        required=False,
        label="People allowed to roll back",
        help_text="Reviewers and responders. Rolling back to an approved version reduces risk.",
    )
    glass_allowed = forms.ChoiceField(
        choices=[("yes", "Allowed in an emergency"), ("no", "Not allowed")],
        required=False,
        label="Emergency promotion without approval",
        help_text="By responders, with a reason and a fresh proof of identity.",
    )
    glass_hours = forms.IntegerField(
        min_value=1,
        max_value=rules.LONGEST_HOURS,
        required=False,
        initial=24,
        label="Review it within (hours)",
    )
    probation_hours = forms.IntegerField(
        min_value=1,
        max_value=rules.LONGEST_HOURS,
        required=False,
        label="Probation (hours)",
        help_text="Countersign rolls a promotion back unless a reviewer confirms it in time, or after a bad health "
        "report. Leave empty for final promotions.",
    )
    target = forms.ModelChoiceField(Target.objects.none(), empty_label="Choose a target")
    model_pattern = forms.CharField(
        max_length=256,
        label="Models",
        initial="*",
        help_text="A model's name, or a pattern: * is any text, ? any one character. Names are case-sensitive.",
    )
    requires_reason = forms.BooleanField(
        required=False, label="Comment required to approve", help_text="Rejecting always needs one."
    )
    open_for_days = forms.IntegerField(
        min_value=1,
        max_value=rules.LONGEST_DAYS,
        initial=14,
        label="Days a request stays open",
        help_text="Undecided requests then expire.",
    )
    excludes_contributors = forms.BooleanField(
        required=False,
        label="Contributors cannot approve",
        help_text="Contributors own the run or logged the model, by their name in MLflow.",
    )
    contributor_tags = forms.CharField(
        max_length=500,
        required=False,
        label="Tags that name other contributors",
        help_text="Separated by commas, such as trained_by.",
    )
    watched_tags = forms.CharField(
        max_length=500,
        required=False,
        initial="*",
        label="Tags that are part of the evidence",
        help_text="Names or patterns, separated by commas; * is all of them. Other tags may change freely.",
    )
    files_limit_mb = forms.IntegerField(
        min_value=0,
        max_value=100_000_000,
        required=False,
        label="Do not hash files above (MB)",
        help_text="Leave empty to always hash the model's files; 0 to never.",
    )
    reauthenticate = forms.BooleanField(
        required=False,
        label="Signing requires a fresh proof of identity",
        help_text="Password, authenticator app or passkey.",
    )
    within_minutes = forms.IntegerField(
        min_value=1, max_value=1440, required=False, initial=5, label="Proof is valid for (minutes)"
    )
    asks_meaning = forms.BooleanField(
        required=False, label="Signature states its meaning", help_text="Reviewed, approved or responsible."
    )
    allows_findings = forms.BooleanField(
        required=False,
        initial=True,
        label="Approvals may carry findings",
        help_text="Follow-up tasks, each with an owner and a due date.",
    )
    batch_approval = forms.BooleanField(
        required=False,
        label="Reviewers may approve several requests at once",
        help_text="Only where all checks passed, no metric is worse and no comment or signature is asked for.",
    )
    first_after_hours = forms.IntegerField(
        min_value=1,
        max_value=rules.LONGEST_HOURS,
        required=False,
        initial=24,
        label="First reminder after (hours)",
        help_text="Reviewers who have not decided yet are reminded. Leave empty to keep the saved value.",
    )
    every_hours = forms.IntegerField(
        min_value=1,
        max_value=rules.LONGEST_HOURS,
        required=False,
        initial=48,
        label="Then every (hours)",
        help_text="Until the request is closed. Leave empty to keep the saved value.",
    )
    escalate_after_hours = forms.IntegerField(
        min_value=1,
        max_value=rules.LONGEST_HOURS,
        required=False,
        label="Escalate after (hours)",
        help_text="Without a decision by then, this group is notified. Leave empty to never escalate.",
    )
    escalate_to = forms.ModelChoiceField(
        Group.objects.order_by("name"),
        required=False,
        to_field_name="name",
        empty_label="No group",
        label="Escalate to",
        help_text="The rows under Approvals decide whether its members may approve.",
    )
    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)
    """Number of the version that the form was opened with."""

    def __init__(self, *args: Any, policy: Policy, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.policy = policy
        if settings.PROXY_AUTH.header:
            self.fields[
                "reauthenticate"
            ].help_text += " A sign-in by the proxy is none: such people need one of the last two."
        self.fields["target"].queryset = Target.objects.current()  # type: ignore[attr-defined]

    def clean_model_pattern(self) -> str:
        return str(self.cleaned_data["model_pattern"]).strip()

    def clean(self) -> dict[str, Any]:
        found = self.cleaned_data
        hours, group = found.get("escalate_after_hours"), found.get("escalate_to")
        if hours and not group and "escalate_to" not in self.errors:
            self.add_error("escalate_to", "Choose the group to notify, or clear the hours.")
        if group and not hours and "escalate_after_hours" not in self.errors:
            self.add_error("escalate_after_hours", "Enter the hours, or choose no group.")
        same = Policy.objects.filter(
            model_pattern=found.get("model_pattern"), target=found.get("target"), retired_at=None
        ).exclude(pk=self.policy.pk)
        if found.get("target") and same.exists():
            self.add_error(
                "model_pattern", f"{found['target']} already has a policy for this pattern. Change that one."
            )
        return found

    @staticmethod
    def initial_of(policy: Policy) -> dict[str, Any]:
        rule = Rule.from_json(policy.terms)
        return {
            "target": policy.target_id,
            **{name: getattr(rule, name) for name in _PLAIN},
            "contributor_tags": ", ".join(rule.contributor_tags),
            "watched_tags": ", ".join(rule.watched_tags),
            "reauthenticate": rule.signature.reauthenticate,
            "within_minutes": rule.signature.within_minutes,
            "asks_meaning": rule.signature.asks_meaning,
            **asdict(rule.reminders),
            "on_bypass": rule.on_bypass,
            "rollback_approvals": rule.rollback.approvals,
            "rollback_group": rule.rollback.group,
            "rollback_alone": "yes" if rule.rollback.permission_suffices else "no",
            "glass_allowed": "yes" if rule.break_glass.is_allowed else "no",
            "glass_hours": rule.break_glass.review_within_hours,
            "probation_hours": rule.probation.hours,
            "seen": policy.version,
        }

    def rule(self, slots: list[SlotRule], wanted: list[CheckRule], metrics: tuple[MetricRule, ...]) -> Rule:
        """The document that was typed, over what the policy says about the rest."""
        base = Rule.from_json(self.policy.terms) if self.policy.pk else Rule(model_pattern="*", slots=())
        typed = self.cleaned_data
        return replace(
            base,
            slots=tuple(slots),
            checks=tuple(wanted),
            metrics=metrics,
            contributor_tags=_words(typed["contributor_tags"]),
            watched_tags=_words(typed["watched_tags"]),
            signature=SignatureRule(
                typed["reauthenticate"], typed["within_minutes"] or base.signature.within_minutes, typed["asks_meaning"]
            ),
            reminders=ReminderRule(
                typed["first_after_hours"] or base.reminders.first_after_hours,
                typed["every_hours"] or base.reminders.every_hours,
                typed["escalate_after_hours"],
                typed["escalate_to"].name if typed["escalate_to"] else None,
            ),
            **{name: typed[name] for name in _PLAIN},
            **self._after(base),
        )

    def _after(self, base: Rule) -> dict[str, Any]:
        """What was typed, as fields of the rule, over what `base` says."""
        typed, old = self.cleaned_data, base.rollback
        is_rollback_sent = bool(typed["rollback_approvals"])
        group = typed["rollback_group"].name if typed["rollback_group"] else None
        return {
            "on_bypass": typed["on_bypass"] or base.on_bypass,
            "rollback": RollbackRule(
                typed["rollback_approvals"] or old.approvals,
                group if is_rollback_sent else old.group,
                typed["rollback_alone"] == "yes" if typed["rollback_alone"] else old.permission_suffices,
            ),
            "break_glass": BreakGlassRule(
                typed["glass_allowed"] == "yes" if typed["glass_allowed"] else base.break_glass.is_allowed,
                typed["glass_hours"] or base.break_glass.review_within_hours,
            ),
            "probation": ProbationRule(typed["probation_hours"]),
        }

    def now_over(self, version: int) -> None:
        """Saving what was typed once more replaces this version."""
        data = cast("QueryDict", self.data).copy()
        data["seen"] = str(version)
        self.data = data


_PLAIN = (
    "model_pattern",
    "requires_reason",
    "open_for_days",
    "excludes_contributors",
    "files_limit_mb",
    "allows_findings",
    "batch_approval",
)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


# --- Slots ------------------------------------------------------------------------------------------------------------


class GroupField(forms.ModelChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, group: Any) -> str:
        return str(group.name)


class SlotForm(forms.Form):
    approvals = forms.IntegerField(min_value=1, max_value=rules.MOST_APPROVALS, required=False, label="Approvals")
    group = GroupField(Group.objects.none(), required=False, empty_label="Any reviewer", label="From")
    looks_at = forms.MultipleChoiceField(
        choices=[(part, label) for part, label in PARTS.items() if part not in ALWAYS_SEEN],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Looks at",
    )

    def __init__(self, *args: Any, groups: QuerySet[Group], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["group"].queryset = groups  # type: ignore[attr-defined]


class BaseSlotFormSet(forms.BaseFormSet):  # type: ignore[type-arg]
    """Rows without a number of approvals are not used; that is also how a slot is taken away."""

    def clean(self) -> None:
        if any(self.errors):
            return
        wanted = self.slots()
        if not wanted:
            raise forms.ValidationError("A policy needs at least one approval. Fill in the first row.")
        twins = [(slot.group, slot.looks_at) for slot in wanted]
        if len(twins) != len(set(twins)):
            raise forms.ValidationError("Two rows name the same group. Combine them in one row.")

    def slots(self) -> list[SlotRule]:
        rows = (form.cleaned_data for form in self.forms)
        return [
            SlotRule(row["approvals"], row["group"].name if row.get("group") else None, tuple(row["looks_at"]))
            for row in rows
            if row.get("approvals")
        ]


MOST_SLOTS = 12
SlotFormSet: Any = forms.formset_factory(
    SlotForm, formset=BaseSlotFormSet, extra=0, max_num=MOST_SLOTS, validate_max=True
)


def slot_forms(data: Mapping[str, Any] | None, policy: Policy) -> Any:
    """The slots of a policy; a new one starts with one approval of any reviewer. Data with `add_slot` in it gets one
    more row, of one approval."""
    slots = Rule.from_json(policy.terms).slots if policy.pk else ()
    named = Group.objects.in_bulk([slot.group for slot in slots if slot.group], field_name="name")
    initial = [
        {
            "approvals": slot.approvals,
            "group": named[slot.group].pk if slot.group in named else None,
            "looks_at": slot.looks_at,
        }
        for slot in slots
    ] or [{"approvals": 1}]
    # Roles are not offered: everyone who may review is a reviewer already.
    groups = Group.objects.filter(~Q(name__in=role_names.PERMISSIONS) | Q(name__in=named)).order_by("name")
    data = _with_one_more(data) if data and "add_slot" in data else data
    # Rows that were sent stand for themselves: a row that equals an initial one would count as empty.
    return SlotFormSet(data, initial=None if data else initial, prefix="slots", form_kwargs={"groups": groups})


def _with_one_more(data: Mapping[str, Any]) -> Mapping[str, Any]:
    count = str(data.get("slots-TOTAL_FORMS", ""))
    if not count.isdecimal() or int(count) >= MOST_SLOTS:
        return data
    more = cast("QueryDict", data).copy()
    more["slots-TOTAL_FORMS"], more[f"slots-{int(count)}-approvals"] = str(int(count) + 1), "1"
    return more


# --- Checks -----------------------------------------------------------------------------------------------------------

EFFECTS = [(Effect.BLOCK, "blocks"), (Effect.WARN, "warns"), (Effect.INFORM, "informs")]
MOST_CHECKS = 40


class CheckForm(forms.Form):
    """One check with the settings of its kind; every setting is text here, `checks.validate` reads it."""

    effect = forms.ChoiceField(choices=EFFECTS, label="A failure")
    is_removed = forms.BooleanField(required=False, label="Remove this check")

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = checks.KINDS[kind]
        for setting in self.kind.fields:
            shown: dict[str, Any] = {"label": setting.label, "help_text": setting.help, "required": False}
            if setting.type == "choice":
                self.fields[setting.name] = forms.ChoiceField(choices=setting.choices, **shown)
            else:
                self.fields[setting.name] = forms.CharField(max_length=500, **shown)

    @property
    def settings(self) -> list[forms.BoundField]:
        return [self[setting.name] for setting in self.kind.fields]

    def clean(self) -> dict[str, Any]:
        found = self.cleaned_data
        typed = {setting.name: found.get(setting.name, "") for setting in self.kind.fields}
        if not found.get("is_removed"):
            found["terms"], problems = checks.validate(self.kind.key, typed)
            for problem in problems:
                self.add_error(None, problem)
        return found

    @staticmethod
    def initial_of(check: CheckRule) -> dict[str, Any]:
        shown = checks.KINDS[check.kind].defaults | dict(check.settings)
        texts = {key: ", ".join(value) if isinstance(value, list) else value for key, value in shown.items()}
        return {"effect": check.effect, **texts}


class CheckForms:
    """The checks of a policy, each a form; `offer` is the choice of another one."""

    def __init__(self, data: Mapping[str, Any] | None, policy: Policy) -> None:
        kept = Rule.from_json(policy.terms).checks if policy.pk else ()
        if data is None:
            self.forms = [
                CheckForm(prefix=f"checks-{place}", kind=check.kind, initial=CheckForm.initial_of(check))
                for place, check in enumerate(kept)
            ]
        else:
            self.forms = [
                CheckForm(data, prefix=f"checks-{place}", kind=data[f"checks-{place}-kind"])
                for place in range(MOST_CHECKS)
                if data.get(f"checks-{place}-kind") in checks.KINDS
            ]

    def add(self, kind: str) -> None:
        """One more row, with the defaults of its kind; nothing for a kind that there is not."""
        if kind in checks.KINDS and len(self.forms) < MOST_CHECKS:
            initial = CheckForm.initial_of(CheckRule(kind))
            self.forms.append(CheckForm(prefix=f"checks-{len(self.forms)}", kind=kind, initial=initial))

    @property
    def offer(self) -> list[tuple[str, str, str]]:
        return [(kind.key, kind.label, kind.description) for kind in checks.KINDS.values()]

    def is_valid(self) -> bool:
        found = [form.is_valid() for form in self.forms]  # every form, so that every mistake is shown
        return all(found)

    def checks(self) -> list[CheckRule]:
        return [
            CheckRule(form.kind.key, form.cleaned_data["effect"], form.cleaned_data["terms"])
            for form in self.forms
            if not form.cleaned_data["is_removed"]
        ]
