"""The part of a policy's form that is about what happens after approval, or without it. A field that was not sent, or
was left empty, leaves the policy as it was, but for the probation: empty is none."""

from typing import Any

from django import forms
from django.contrib.auth.models import Group

from approvals.policy import BreakGlassRule, OnBypass, ProbationRule, RollbackRule, Rule, rules

ON_BYPASS = [
    (OnBypass.REPORT, "It is reported"),
    (OnBypass.PUT_BACK, "It is put back to the last approved version"),
    (OnBypass.REVIEW, "It becomes a request that reviewers decide afterwards"),
]


class AfterForm(forms.Form):
    """Inherited by the form of the whole policy."""

    on_bypass = forms.ChoiceField(
        choices=ON_BYPASS,
        required=False,
        label="A change outside the gate",
        help_text="When somebody changes the target in MLflow without a delivery.",
    )
    rollback_approvals = forms.IntegerField(
        min_value=1, max_value=rules.MOST_APPROVALS, required=False, initial=1, label="Approvals of a roll back"
    )
    rollback_group = forms.ModelChoiceField(
        Group.objects.order_by("name"), required=False, to_field_name="name", empty_label="Any reviewer", label="From"
    )
    rollback_alone = forms.ChoiceField(
        choices=[("yes", "Nobody else's approval"), ("no", "The approvals as well")],
        required=False,
        label="With the permission to roll back, one needs",
        help_text="Reviewers and responders have it. Rolling back to an approved version reduces risk.",
    )
    glass_allowed = forms.ChoiceField(
        choices=[("yes", "Allowed in an emergency"), ("no", "Not allowed")],
        required=False,
        label="A promotion without approvals (break-glass)",
        help_text="By responders, with a reason and a fresh proof of identity.",
    )
    glass_hours = forms.IntegerField(
        min_value=1,
        max_value=rules.LONGEST_HOURS,
        required=False,
        initial=24,
        label="To be reviewed afterwards within (hours)",
    )
    probation_hours = forms.IntegerField(
        min_value=1,
        max_value=rules.LONGEST_HOURS,
        required=False,
        label="Provisional for (hours)",
        help_text="Unless it is confirmed by then, or when a health report is bad, a promotion is rolled back by "
        "itself. Empty: promotions are final.",
    )

    @staticmethod
    def initial_after(rule: Rule) -> dict[str, Any]:
        return {
            "on_bypass": rule.on_bypass,
            "rollback_approvals": rule.rollback.approvals,
            "rollback_group": rule.rollback.group,
            "rollback_alone": "yes" if rule.rollback.permission_suffices else "no",
            "glass_allowed": "yes" if rule.break_glass.is_allowed else "no",
            "glass_hours": rule.break_glass.review_within_hours,
            "probation_hours": rule.probation.hours,
        }

    def after(self, base: Rule) -> dict[str, Any]:
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
