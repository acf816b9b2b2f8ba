"""The mirrored rows: what MLflow said when it was last asked. Written by `mirror.sync` alone, read by everyone."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from mirror import clock
from mirror.port import REFUSED_SIGN_IN, WRONG_WORKSPACE, is_prompt


class Stage(models.TextChoices):
    """MLflow's four stages, spelled as MLflow does."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


class RegisteredModel(models.Model):
    name = models.CharField(max_length=256, unique=True)
    description = models.TextField(blank=True)
    tags = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    last_updated_at = models.DateTimeField()
    read_at = models.DateTimeField(
        default=timezone.now, help_text="When MLflow was asked. Older answers never overwrite."
    )
    deleted_at = models.DateTimeField(null=True, blank=True, help_text="When MLflow was first seen without it.")
    hidden_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When MLflow was first seen not to list it, or its versions, that it has by name.",
    )
    unreadable_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When MLflow was first seen not to let this account read it, or a version of it.",
    )

    class Meta:
        indexes = [
            models.Index(
                fields=["-last_updated_at", "-name"],
                condition=models.Q(deleted_at__isnull=True),
                name="model_by_update",
            ),
            models.Index(fields=["hidden_at"], condition=models.Q(hidden_at__isnull=False), name="model_hidden"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("model", args=[self.name])

    @property
    def is_prompt(self) -> bool:
        """Whether MLflow takes it for a prompt now: it was a model when it was first mirrored."""
        return is_prompt(self.tags)


HEAVY = ("params", "run", "description", "tags", "source", "status_message", "run_link")
"""Columns that lists never show; some hold thousands of values."""


class ModelVersion(models.Model):
    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    stage = models.CharField(max_length=20, choices=Stage, default=Stage.NONE)
    description = models.TextField(blank=True)
    tags = models.JSONField(default=dict)
    status = models.CharField(max_length=40, default="READY")
    status_message = models.TextField(blank=True)
    source = models.TextField(blank=True)
    run_id = models.CharField(max_length=64, blank=True)
    run_link = models.TextField(blank=True)
    logged_model_id = models.CharField(max_length=64, blank=True)
    metrics = models.JSONField(
        default=dict, help_text='Name to number; "NaN", "Infinity" and "-Infinity" are strings. Names: see measures.'
    )
    params = models.JSONField(default=dict)
    fact_sources = models.JSONField(
        default=dict,
        help_text='{"metrics": see measures.Sources, "params": {name: {"run": its value}}, "early": see facts}',
    )
    run = models.JSONField(default=dict, help_text="Facts of the run: see registry.RunFacts.")
    facts_at = models.DateTimeField(null=True, blank=True, help_text="When run and LoggedModel were last read.")
    created_at = models.DateTimeField()
    last_updated_at = models.DateTimeField()
    read_at = models.DateTimeField(
        default=timezone.now, help_text="When MLflow was asked. Older answers never overwrite."
    )
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "number"], name="one_row_per_version")]
        indexes = [
            models.Index(fields=["model", "stage"], name="version_by_stage"),
            models.Index(fields=["stage"], name="version_in_stage"),
            models.Index(fields=["-last_updated_at"], name="version_by_update"),
            models.Index(fields=["run_id"], name="version_by_run"),
            models.Index(fields=["-last_updated_at"], condition=models.Q(facts_at=None), name="version_without_facts"),
            models.Index(fields=["deleted_at"], condition=models.Q(deleted_at__isnull=False), name="version_deleted"),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} version {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("version", args=[self.model.name, self.number])

    @property
    def is_prompt(self) -> bool:
        return is_prompt(self.tags)


class LightInspectionManager(models.Manager["Inspection"]):
    """Without the curves, which are long and which only the pages that draw them read."""

    def get_queryset(self) -> models.QuerySet["Inspection"]:
        return super().get_queryset().defer("curves")


class Inspection(models.Model):
    """What the worker found in a version's files, and how far it is with them. One per version; the newest look."""

    version = models.OneToOneField(ModelVersion, on_delete=models.PROTECT, related_name="inspection")
    files = models.JSONField(null=True, help_text="Digest and manifest: see inspection.hash_files.")
    packaging = models.JSONField(null=True, help_text="What the MLmodel file says: see packaging.read.")
    curves = models.JSONField(default=dict, help_text='{"loss": [[step, "0.25"], …]}; values as text.')
    problem = models.TextField(blank=True, help_text="What could not be read, as a sentence.")
    started_at = models.DateTimeField(null=True, blank=True)
    inspected_at = models.DateTimeField(null=True, blank=True, help_text="When the last look ended.")
    files_done = models.PositiveIntegerField(default=0)
    files_total = models.PositiveIntegerField(default=0)
    bytes_done = models.PositiveBigIntegerField(default=0)
    bytes_total = models.PositiveBigIntegerField(default=0)

    objects = models.Manager["Inspection"]()
    light = LightInspectionManager()

    class Meta:
        base_manager_name = "light"  # of `version.inspection`, which every freezing of evidence reads

    def __str__(self) -> str:
        return f"inspection of {self.version_id}"


class Exhibit(models.Model):
    """A figure or table that the version's run logged, kept as it was when a decision was asked for."""

    class Kind(models.TextChoices):
        IMAGE = "image"
        TABLE = "table"

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="exhibits")
    path = models.CharField(max_length=500)
    kind = models.CharField(max_length=10, choices=Kind)
    media_type = models.CharField(max_length=40)
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    content = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "path"], name="one_exhibit_per_path")]

    def __str__(self) -> str:
        return self.path


class Alias(models.Model):
    """`models:/<model>@<name>`. Holds the version number, not a row: MLflow may set it before the mirror sees the
    version."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=256)
    number = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "name"], name="one_version_per_alias")]

    def __str__(self) -> str:
        return f"@{self.name}"


class MirrorStateManager(models.Manager["MirrorState"]):
    def current(self) -> "MirrorState":
        """The one row; an unsaved one before the first contact."""
        # Every page asks, and for all of these columns the ORM composes the query for longer than the answer takes.
        found = self.raw("SELECT * FROM mirror_mirrorstate WHERE id = 1")
        return next(iter(found), None) or MirrorState(pk=1)

    def record(self, **fields: Any) -> None:
        """Updates the one row, and makes it the first time."""
        if not self.filter(pk=1).update(**fields):
            self.get_or_create(pk=1)
            self.filter(pk=1).update(**fields)

    def is_due(self, column: str) -> bool:
        """Whether the moment in `pull_due_at` or `sweep_due_at` has come, by the database's clock. One query."""
        return not self.filter(pk=1, **{f"{column}__gt": Now()}).exists()

    def claim(self, lease: str, *, seconds: int) -> datetime | None:
        """Takes `pulling_until` or `sweeping_until` unless someone else holds it, until the moment that is returned:
        see leases.held."""
        now = clock.now()
        until = now + timedelta(seconds=seconds)
        free = models.Q(**{lease: None}) | models.Q(**{f"{lease}__lt": now})
        self.get_or_create(pk=1)
        return until if self.filter(free, pk=1).update(**{lease: until}) else None


REFUSED_LATELY = timedelta(minutes=15)
"""So long one command with a wrong address is called out on the pages."""


SEEN_LATELY = timedelta(minutes=10)
"""So long a host of workers counts as there; each says so once a minute while it has something to ask MLflow."""


class MirrorState(models.Model):  # noqa: DJ008 -- one row, shown nowhere by itself
    """When MLflow last answered and what it said; one row. The web process knows MLflow's health from here alone."""

    pulled_at = models.DateTimeField(null=True, help_text="Last pull that MLflow answered.")
    swept_at = models.DateTimeField(null=True, help_text="Last full sweep that ended.")
    failing_since = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, help_text="Of the pull; a sweep has its own.")
    sweep_failing_since = models.DateTimeField(null=True)
    sweep_failed_at = models.DateTimeField(null=True)
    sweep_error = models.TextField(blank=True)
    missing = models.JSONField(
        default=dict,
        help_text="What a sweep no longer found listed, too much at once to be believed: see sweep.Missing.",
    )
    sweep_notes = models.JSONField(
        default=list, help_text="What the last sweep could not read or keep, a sentence each."
    )
    missing_confirmed_at = models.DateTimeField(null=True, help_text="When a person said that it is so.")
    cursor = models.BigIntegerField(default=0, help_text="Newest last_updated_timestamp seen, in milliseconds.")
    server_version = models.CharField(max_length=40, blank=True)
    latency_ms = models.FloatField(null=True)
    sweep_progress = models.JSONField(default=dict, help_text='{"models": n, "versions": n} while a sweep runs.')

    stages_asked_at = models.DateTimeField(null=True, help_text="Stages as they were then are mirrored, or newer ones.")
    aliases_asked_at = models.DateTimeField(null=True, help_text="The same of aliases and deletions: by sweeps alone.")

    pull_took = models.JSONField(
        default=list,
        db_default=[],  # for a process of 0.6 that does not know it: machines are upgraded in turn
        help_text="Seconds that MLflow took for what every pull asks, of the last few: see pace.",
    )
    sweep_took = models.JSONField(default=list, db_default=[], help_text="The same of sweeps.")
    pull_due_at = models.DateTimeField(null=True, help_text="When the next pull is due; empty: now.")
    sweep_due_at = models.DateTimeField(null=True, help_text="The same of the next sweep.")

    pulling_until = models.DateTimeField(null=True, help_text="Lease of the pull that runs now.")
    sweeping_until = models.DateTimeField(null=True, help_text="Lease of the sweep that runs now.")

    registry = models.JSONField(default=dict, help_text="The registry that is mirrored: see identity.confirm.")
    refused = models.JSONField(default=dict, help_text="Another one that answered: see identity.confirm.")
    refused_at = models.DateTimeField(null=True, help_text="When it last did.")
    clocks = models.JSONField(
        default=dict,
        help_text='{"mlflow": s, "workers": {host: {"seconds": s, "at": …}}}: seconds ahead of the database.',
    )
    halt = models.TextField(blank=True, help_text="Why nothing is written to MLflow until a person says so.")
    gate = models.JSONField(
        default=dict, help_text="Whether MLflow refuses what was not approved, when it was last asked: see probe."
    )

    objects: ClassVar[Any] = MirrorStateManager()

    @property
    def age_seconds(self) -> float | None:
        """Seconds since MLflow last answered; None before the first time."""
        seen = max((at for at in (self.pulled_at, self.swept_at) if at), default=None)
        return None if seen is None else (timezone.now() - seen).total_seconds()

    @property
    def seen_at(self) -> Any:
        return max((at for at in (self.pulled_at, self.swept_at) if at), default=None)

    @property
    def is_failing(self) -> bool:
        """Whether the last pull failed."""
        return self.failing_since is not None

    @property
    def is_unsigned(self) -> bool:
        """Whether the last pull failed because MLflow does not take the worker's credentials."""
        return self.is_failing and self.error.startswith(REFUSED_SIGN_IN)

    @property
    def is_misplaced(self) -> bool:
        """Whether the last pull failed because MLflow has workspaces and none is named, or the other way round."""
        return self.is_failing and self.error.startswith(WRONG_WORKSPACE)

    @property
    def is_stopped(self) -> bool:
        """Whether sweeps mark nothing as deleted until a person confirms what is missing."""
        return bool(self.missing) and self.missing_confirmed_at is None

    @property
    def is_refusing(self) -> bool:
        """Another registry has answered lately, to whichever process."""
        return self.refused_at is not None and timezone.now() - self.refused_at < REFUSED_LATELY

    def workers(self, now: datetime) -> dict[str, dict[str, Any]]:
        """The hosts of workers that asked MLflow lately, each with "seconds" by which its clock is ahead of the
        database's and "at", when it said so."""
        known = self.clocks.get("workers", {})
        return {host: said for host, said in known.items() if now - datetime.fromisoformat(said["at"]) < SEEN_LATELY}


class SetupCheck(models.Model):  # noqa: DJ008 -- one row, shown nowhere by itself
    """The last result of `manage.py check_mlflow`."""

    at = models.DateTimeField()
    rows = models.JSONField(default=list, help_text="See rights.Row.")
    is_good = models.BooleanField()

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="there_is_one_setup_check")]


class OutageQuerySet(models.QuerySet["Outage"]):
    def within(self, since: datetime, until: datetime) -> "OutageQuerySet":
        """Those that overlap the span from `since` up to, not including, `until`; the earliest first."""
        return self.filter(started_at__lt=until, ended_at__gt=since).order_by("started_at", "pk")


class Outage(models.Model):
    """A span in which MLflow was not seen: it did not answer, or nobody asked it. Written when it ends, and kept."""

    started_at = models.DateTimeField(help_text="When MLflow was last seen before, or when it first failed.")
    ended_at = models.DateTimeField(help_text="When it was seen again.")
    error = models.TextField(blank=True, help_text="What it said, or why it did not answer; empty: it was not asked.")

    objects = OutageQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["ended_at"], name="outage_by_end")]

    def __str__(self) -> str:
        return f"outage from {self.started_at:%Y-%m-%d %H:%M} to {self.ended_at:%Y-%m-%d %H:%M}"


class RefreshHint(models.Model):
    """A model that MLflow's webhook named: it is read anew by the next worker. One row a model, however often."""

    model_name = models.CharField(max_length=256, unique=True)
    heard_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.model_name
