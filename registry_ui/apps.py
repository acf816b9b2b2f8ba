from typing import Any

from django.apps import AppConfig, apps
from django.contrib.staticfiles.apps import StaticFilesConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate

from mirror import calls
from registry_ui import database_roles

LOST_PEER = """
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 2;
SET tcp_user_timeout = 15000
"""
"""The server gives a client up 15 seconds after its host went away, and with it the locks of what it had begun. By
default it waits for two hours: so long no other host could write to the ledger."""


def release_locks_of_lost_hosts(connection: Any, **_: Any) -> None:
    if connection.vendor == "postgresql":
        connection.connection.execute(LOST_PEER)


class StaticFiles(StaticFilesConfig):
    """Leaves out what no page asks for of django-htmx: most of all files, each to be compressed."""

    ignore_patterns = [
        *StaticFilesConfig.ignore_patterns,
        "django_htmx/*-4*.js",
        "django_htmx/ext/*",
        "django_htmx/htmx-2.js",
    ]


class RegistryUiConfig(AppConfig):
    default = True
    name = "registry_ui"
    verbose_name = "Registry"

    def ready(self) -> None:
        from accounts import security_log
        from registry_ui import checks  # noqa: F401  registers the system checks
        from registry_ui.metrics import processes, tracing

        tracing.start()
        calls.called.connect(processes.asked)
        security_log.recorded.connect(processes.signed_in)
        connection_created.connect(release_locks_of_lost_hosts)
        # After the last of all applications: by then every table is there.
        last = list(apps.get_app_configs())[-1]
        post_migrate.connect(database_roles.take_back, sender=last, dispatch_uid="registry_ui.database_roles")
