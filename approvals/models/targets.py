"""Targets: the places a version can be promoted to, each meaning an MLflow stage, an alias, or both."""

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from mirror.models import Stage

ALIAS_RULE = RegexValidator(
    r"^(?![lL][aA][tT][eE][sS][tT]$)(?![vV]\d+$)[A-Za-z0-9_\-]+$",
    'Use letters, digits, "_" and "-"; MLflow reserves "latest" and names like "v1".',
)


class Enforcement(models.TextChoices):
    """What MLflow does, where its server has the gate, with a change of the target that Countersign did not approve."""

    OFF = "off", "Off: a direct change in MLflow is found afterwards"
    OBSERVE = "observe", "Observe: it is let through and recorded"
    ENFORCE = "enforce", "Enforce: MLflow refuses it"


_ENFORCED = {
    Enforcement.OFF: "",
    Enforcement.OBSERVE: "Observed in MLflow.",
    Enforcement.ENFORCE: "Enforced in MLflow.",
}
_DIRECT_CHANGE = {
    Enforcement.OFF: "A change made there directly is found afterwards.",
    Enforcement.OBSERVE: "A change made there directly is let through and recorded.",
    Enforcement.ENFORCE: "A change made there directly is refused, with a link to request it.",
}


class TargetQuerySet(models.QuerySet["Target"]):
    def current(self) -> "TargetQuerySet":
        return self.filter(retired_at=None).order_by("position", "name")


class Target(models.Model):
    name = models.CharField(max_length=60, unique=True)
    description = models.CharField(max_length=200, blank=True)
    stage = models.CharField(max_length=20, blank=True, choices=[(s, s) for s in (Stage.STAGING, Stage.PRODUCTION)])
    alias = models.CharField(max_length=100, blank=True, validators=[ALIAS_RULE])
    archives_existing = models.BooleanField(
        default=False,
        verbose_name="archive the existing holder",
        help_text="Only a stage can archive; an alias just moves.",
    )
    enforcement = models.CharField(
        max_length=10,
        choices=Enforcement,
        default=Enforcement.OFF,
        verbose_name="enforcement in MLflow",
        help_text="Needs Countersign's gate in the MLflow server.",
    )
    position = models.PositiveSmallIntegerField(default=100)
    retired_at = models.DateTimeField(null=True, blank=True)

    objects = TargetQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(stage="") | ~Q(alias=""), name="target_means_a_stage_or_an_alias"),
            models.CheckConstraint(condition=Q(archives_existing=False) | ~Q(stage=""), name="only_a_stage_archives"),
            models.UniqueConstraint(
                fields=["stage"], condition=Q(retired_at=None) & ~Q(stage=""), name="one_target_per_stage"
            ),
            models.UniqueConstraint(
                fields=["alias"], condition=Q(retired_at=None) & ~Q(alias=""), name="one_target_per_alias"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def meaning(self) -> str:
        """What reaching the target changes in MLflow, in words."""
        parts = [f"stage {self.stage}"] if self.stage else []
        parts += [f"alias @{self.alias}"] if self.alias else []
        return " and ".join(parts)

    @property
    def enforced(self) -> str:
        """The sentence that ends a policy: `Enforced in MLflow.`; "" where nothing is asked of MLflow."""
        return _ENFORCED[Enforcement(self.enforcement)]

    @property
    def enforcement_words(self) -> str:
        """What becomes of a change that a person makes in MLflow, as a sentence."""
        return _DIRECT_CHANGE[Enforcement(self.enforcement)]
