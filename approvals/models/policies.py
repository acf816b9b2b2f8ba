"""Policies and their versions: the rule that a request must meet. Which one applies is said in `approvals.policy`."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from approvals.models.targets import Target


class PolicyQuerySet(models.QuerySet["Policy"]):
    def current(self) -> "PolicyQuerySet":
        """Those in use, in the order in which they apply: of one target, the first whose pattern fits."""
        return self.filter(retired_at=None).select_related("target").order_by("target__position", "position", "pk")


class Policy(models.Model):
    """What stands now; every edit of it is a `PolicyVersion`."""

    model_pattern = models.CharField(
        max_length=256,
        default="*",
        validators=[RegexValidator(r"\S", "Enter a model name, or a pattern such as churn_*.")],
        help_text="A model's name, or a pattern: * is any text, ? any one character. Capital letters matter.",
    )
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="policies")
    position = models.PositiveIntegerField(default=0, help_text="Of one target, the first that fits applies.")
    version = models.PositiveIntegerField(default=1, help_text="Number of the version that applies now.")
    terms = models.JSONField(default=dict, help_text="The policy document: see policy.Rule.terms.")
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
        ]

    def __str__(self) -> str:
        return f"{self.target.name} of {self.model_pattern}"


class PolicyVersion(models.Model):
    """A policy as a person saved it; never changed afterwards."""

    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    terms = models.JSONField()
    saved_at = models.DateTimeField(default=timezone.now)
    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    saved_as = models.CharField(max_length=400, help_text="Survives the person; the command line has no row.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["policy", "number"], name="one_row_per_policy_version")]

    def __str__(self) -> str:
        return f"version {self.number} of the policy {self.policy_id}"

    @property
    def is_from_installation(self) -> bool:
        """No one wrote it: it came with the tables."""
        return self.number == 1 and self.saved_by_id is None and self.terms.get("model_pattern", "*") == "*"
