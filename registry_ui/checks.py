"""System checks: mistakes that settings make together, told by `manage.py check` with a hint."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security, deploy=True)
def deployment(app_configs: Any, **_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.CELERY_BROKER_URL.startswith("filesystem://"):
        found.append(
            Warning(
                "The broker is a folder on this machine.",
                hint="Set CELERY_BROKER_URL=redis://…; the folder is for trying Countersign out, with one worker.",
                id="countersign.W001",
            )
        )
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        found.append(
            Warning(
                "The database is SQLite.",
                hint="Set DATABASE_URL=postgresql://… when web and worker run on more than one host.",
                id="countersign.W002",
            )
        )
    if "console" in settings.EMAIL_BACKEND:
        found.append(
            Warning(
                "E-mail is printed, not sent, so nobody can reset a password.",
                hint="Set EMAIL_URL=smtp+tls://user:password@host:587.",
                id="countersign.W003",
            )
        )
    return found
