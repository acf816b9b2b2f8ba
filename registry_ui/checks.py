"""System checks: mistakes that settings make together, told by `manage.py check` with a hint."""

from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Tags, register
from django.db import DatabaseError, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from approvals.models import Enforcement, PolicyFeed, Target
from registry_ui import database_roles


@register(Tags.security, deploy=True)
def deployment(app_configs: Any, **_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.CELERY_BROKER_URL.startswith("filesystem://"):
        found.append(
            checks.Warning(
                "The broker is a folder on this machine.",
                hint="Set CELERY_BROKER_URL=redis://…; the folder is for trying Countersign out, with one worker.",
                id="countersign.W001",
            )
        )
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        found.append(
            checks.Warning(
                "The database is SQLite.",
                hint="Set DATABASE_URL=postgresql://… when web and worker run on more than one host.",
                id="countersign.W002",
            )
        )
    if "console" in settings.EMAIL_BACKEND:
        found.append(
            checks.Warning(
                "E-mail is printed, not sent, so passwords cannot be reset.",
                hint="Set EMAIL_URL=smtp+tls://user:password@host:587.",
                id="countersign.W003",
            )
        )
    if settings.IS_HTTPS and settings.SECURE_SSL_REDIRECT and not settings.ALLAUTH_TRUSTED_PROXY_COUNT:
        found.append(
            checks.Warning(
                "The site is https, but no reverse proxy is trusted, so every request is redirected without end.",
                hint="Set COUNTERSIGN_TRUSTED_PROXY_COUNT=1 behind one proxy that sets X-Forwarded-Proto and -For.",
                id="countersign.W004",
            )
        )
    if settings.GATE_KEY and settings.GATE_TOKEN:
        found.append(
            checks.Warning(
                "The private key of MLflow's gate and the token of the web process are in one environment.",
                hint="Give COUNTERSIGN_GATE_KEY to the worker alone: who breaks into the web process could sign.",
                id="countersign.W005",
            )
        )
    if settings.CHECKPOINT_KEY and settings.GATE_TOKEN:
        found.append(
            checks.Warning(
                "The private key of the ledger's checkpoints and the token of the web process are in one environment.",
                hint="Give COUNTERSIGN_CHECKPOINT_KEY to the worker alone; it signs what people ask for on the page.",
                id="countersign.W008",
            )
        )
    return found


@register(Tags.security, deploy=True)
def running_role(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Whether the role in PostgreSQL can do more than it has to: of the processes that run, not of `migrate`."""
    try:
        role = database_roles.running_role()
    except DatabaseError:  # whoever runs this before there is a database wants to know of the settings
        return []
    if role is None or not role.problem:
        return []
    return [checks.Warning(role.problem, hint=role.remedy, id="countersign.W007")]


@register(Tags.database)
def enforced_with_what_it_takes(
    app_configs: Any, databases: Collection[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Whether a target is enforced in MLflow that nobody could sign or hand out a policy for."""
    if "default" not in (databases or ()) or (settings.GATE_KEY and settings.GATE_TOKEN):
        return []
    if ("approvals", "0005_version_0_6") not in MigrationRecorder(connections["default"]).applied_migrations():
        return []  # `migrate` asks before the column is there
    enforced = Target.objects.current().exclude(enforcement=Enforcement.OFF)
    if not enforced.exists():
        return []
    names = ", ".join(target.name for target in enforced)
    # Of the two, a process needs its own; what the worker could not sign, it has written down.
    has_policy = PolicyFeed.objects.filter(pk=1, problem="").exclude(text="").exists()
    if settings.GATE_KEY or (settings.GATE_TOKEN and has_policy):
        return []
    hint = "Set COUNTERSIGN_GATE_KEY for the worker and COUNTERSIGN_GATE_TOKEN for the web process."
    return [
        checks.Warning(
            f"MLflow is to enforce or observe {names}, and cannot fetch a signed policy.",
            hint=f"{hint} manage.py gate --new-key makes the key.",
            id="countersign.W006",
        )
    ]


@register(Tags.database)
def upgradable(app_configs: Any, databases: Collection[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Whether the migrations of this version can go on from where the database is. `migrate` asks before it touches
    anything; Django itself would not stop at a database that has a part of what a migration replaces."""
    on_disk = MigrationLoader(None).disk_migrations
    found: list[CheckMessage] = []
    for alias in databases or ():
        applied = MigrationRecorder(connections[alias]).applied_migrations()
        for migration in on_disk.values():
            missing = [key for key in migration.replaces if key not in applied and key not in on_disk]
            if missing and any(key in applied for key in migration.replaces):
                found.append(
                    checks.Error(
                        f"The database is older than this version can upgrade: it has no {'.'.join(missing[0])}.",
                        hint="Upgrade to 0.3.0 first, and from there to this version. Nothing was changed.",
                        id="countersign.E001",
                    )
                )
    return found
