"""System checks: mistakes that settings make together, told by `manage.py check` with a hint."""

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Tags, register


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
                "E-mail is printed, not sent, so nobody can reset a password.",
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
