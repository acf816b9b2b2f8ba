from django.apps import AppConfig


class RegistryUiConfig(AppConfig):
    name = "registry_ui"
    verbose_name = "Registry"

    def ready(self) -> None:
        from registry_ui import checks  # noqa: F401  registers the system checks
