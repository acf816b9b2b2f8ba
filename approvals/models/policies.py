"""Policies and their slots: the rule that a request must meet. Which one applies is decided in `approvals.policy`."""

from django.contrib.auth.models import Group
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from approvals.models.targets import Target


class PolicyQuerySet(models.QuerySet["Policy"]):
    def current(self) -> "PolicyQuerySet":
        return self.filter(retired_at=None).select_related("target").prefetch_related("slots__group")


class Policy(models.Model):
    model_pattern = models.CharField(
        max_length=256,
        default="*",
        validators=[RegexValidator(r"\S", "Name a model, or a pattern such as churn_*.")],
        help_text="A model's name, or a pattern: * is any text, ? any one character. Capital letters matter.",
    )
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="policies")
    requires_reason = models.BooleanField(
        default=False, verbose_name="approvals need a comment", help_text="Rejecting always needs one."
    )
    open_for_days = models.PositiveSmallIntegerField(
        default=14,
        validators=[MinValueValidator(1), MaxValueValidator(365)],
        help_text="A request that is not decided by then expires.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    objects = PolicyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["model_pattern", "target"],
                condition=Q(retired_at=None),
                name="one_policy_per_pattern_and_target",
                violation_error_message="There is already a policy for this pattern and target.",
            ),
            models.CheckConstraint(condition=Q(open_for_days__gte=1), name="a_request_stays_open_for_a_day"),
        ]

    def __str__(self) -> str:
        return f"{self.target.name} of {self.model_pattern}"


class Slot(models.Model):
    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="slots")
    group = models.ForeignKey(
        Group, on_delete=models.PROTECT, null=True, blank=True, related_name="+", help_text="Empty: any reviewer."
    )
    approvals = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(20)], verbose_name="number of approvals"
    )
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(approvals__gte=1), name="a_slot_needs_an_approval")]

    def __str__(self) -> str:
        return f"{self.approvals} from {self.group.name if self.group else 'any reviewer'}"
