from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    label = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        from accounts import roles

        # Permissions come into being after the last migration; the roles can only take them then.
        post_migrate.connect(roles.ensure_roles, dispatch_uid="accounts.roles")
