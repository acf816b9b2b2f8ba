from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    label = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        from allauth.mfa.signals import authenticator_removed

        from accounts import attempts, devices, roles, second_factor, security_signals, sessions

        # Permissions come into being after the last migration, app by app; with the last app's the roles can take them.
        last = list(apps.get_app_configs())[-1]
        post_migrate.connect(roles.ensure_roles, sender=last, dispatch_uid="accounts.roles")
        security_signals.connect()
        devices.connect()
        attempts.connect()
        sessions.connect()
        # After the former, which ends the other sessions and keeps this one.
        authenticator_removed.connect(second_factor.note_removal, dispatch_uid="accounts.second_factor")
