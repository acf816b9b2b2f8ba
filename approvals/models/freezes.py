"""Freeze windows: times in which approved changes wait. When one is on is decided in `approvals.policy.freezes`."""

from datetime import UTC, datetime, time
from typing import Any, cast

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from approvals.models.targets import Target
from approvals.policy import freezes, matches


class FreezeQuerySet(models.QuerySet["FreezeWindow"]):
    def current(self) -> "FreezeQuerySet":
        return self.filter(retired_at=None).select_related("target").order_by("name")


class FreezeWindow(models.Model):
    class Kind(models.TextChoices):
        ONCE = "once", "Once"
        WEEKLY = "weekly", "Every week"

    name = models.CharField(
        max_length=80,
        validators=[RegexValidator(r"\S", "Give the freeze a name.")],
        help_text="Is on every request that it holds: Christmas, Weekend, …",
    )
    reason = models.CharField(max_length=500, blank=True, help_text="Why, for those who wait.")
    target = models.ForeignKey(
        Target, on_delete=models.PROTECT, null=True, blank=True, related_name="freezes", help_text="Empty: all."
    )
    model_pattern = models.CharField(
        max_length=256,
        default="*",
        validators=[RegexValidator(r"\S", "Enter a model name, or a pattern such as churn_*.")],
        help_text="A model's name, or a pattern: * is any text, ? any one character. Capital letters matter.",
    )
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.ONCE)
    starts_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    from_day = models.PositiveSmallIntegerField(null=True, blank=True, help_text="0 is Monday.")
    from_time = models.TimeField(null=True, blank=True)
    until_day = models.PositiveSmallIntegerField(null=True, blank=True)
    until_time = models.TimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)

    objects = FreezeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(retired_at=None),
                name="one_freeze_of_a_name",
                violation_error_message="There is already a freeze with this name.",
            ),
            models.CheckConstraint(
                condition=Q(kind="once", starts_at__isnull=False, ends_at__isnull=False)
                | Q(
                    kind="weekly",
                    from_day__lte=6,
                    until_day__lte=6,
                    from_time__isnull=False,
                    until_time__isnull=False,
                ),
                name="a_freeze_says_from_when_until_when",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def when(self) -> freezes.Once | freezes.Weekly:
        """A constraint has it that the columns of its kind are there."""
        if self.kind == self.Kind.ONCE:
            return freezes.Once(cast("datetime", self.starts_at), cast("datetime", self.ends_at))
        first, last = cast("int", self.from_day), cast("int", self.until_day)
        return freezes.Weekly(first, cast("time", self.from_time), last, cast("time", self.until_time), self.time_zone)

    @when.setter
    def when(self, when: freezes.Once | freezes.Weekly) -> None:
        if isinstance(when, freezes.Once):
            self.kind, self.starts_at, self.ends_at = self.Kind.ONCE, when.starts_at, when.ends_at
            self.from_day = self.from_time = self.until_day = self.until_time = None
            self.time_zone = ""
            return
        self.kind, self.starts_at, self.ends_at = self.Kind.WEEKLY, None, None
        for name in ("from_day", "from_time", "until_day", "until_time", "time_zone"):
            setattr(self, name, getattr(when, name))

    @property
    def window(self) -> freezes.Window:
        return freezes.Window(self.name, self.when, self.pk)

    @property
    def sentence(self) -> str:
        """`from Friday 16:00 until Monday 08:00, Europe/Berlin`."""
        when = self.when
        if isinstance(when, freezes.Once):
            return f"from {when.starts_at:%Y-%m-%d %H:%M} until {when.ends_at:%Y-%m-%d %H:%M} UTC"
        first, last = freezes.DAYS[when.from_day], freezes.DAYS[when.until_day]
        return f"from {first} {when.from_time:%H:%M} until {last} {when.until_time:%H:%M}, {when.time_zone}"

    def concerns(self, model_name: str, target_id: int) -> bool:
        return self.target_id in (None, target_id) and matches(self.model_pattern, model_name)

    def as_json(self) -> dict[str, Any]:
        """The window as plain data, for the ledger and for files."""
        found: dict[str, Any] = {
            "name": self.name,
            "reason": self.reason,
            "target": self.target.name if self.target else None,
            "model_pattern": self.model_pattern,
        }
        when = self.when
        if isinstance(when, freezes.Once):
            return found | {"from": _utc(when.starts_at), "until": _utc(when.ends_at)}
        return found | {
            "weekly": {
                "from": f"{freezes.DAYS[when.from_day].lower()} {when.from_time:%H:%M}",
                "until": f"{freezes.DAYS[when.until_day].lower()} {when.until_time:%H:%M}",
                "time_zone": when.time_zone,
            }
        }


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
