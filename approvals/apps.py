from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class ApprovalsConfig(AppConfig):
    name = "approvals"
    verbose_name = "Approvals"

    def ready(self) -> None:
        from approvals.administration import adopting, people, renaming  # noqa: PLC0415  models are ready only now

        # A signal, because people are changed by code that knows nothing of the gate and must not (import contracts).
        renaming.listen()
        people.listen()
        # After the last of all applications, whose own receivers bring roles up to date.
        post_migrate.connect(adopting.adopt, sender=list(apps.get_app_configs())[-1], dispatch_uid="approvals.adopt")
