from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "approvals"
    verbose_name = "Approvals"

    def ready(self) -> None:
        from approvals.administration import renaming  # noqa: PLC0415  models are ready only now

        # A signal, because people are changed by code that knows nothing of the gate and must not (import contracts).
        renaming.listen()
