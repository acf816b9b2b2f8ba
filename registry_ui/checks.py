"""System checks: mistakes that settings make together, told by `manage.py check` with a hint."""

from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Tags, register
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder


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
    return found


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
