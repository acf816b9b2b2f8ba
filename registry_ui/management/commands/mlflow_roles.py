"""`manage.py mlflow_roles`: the roles in MLflow under which engineers register and do not promote by stage."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mirror import roles
from mirror.port import RegistryError
from mirror.sign_in import SignIn

NOT_HELD = 1
LEVELS = ("EDIT", "READ", "MANAGE", "none")


class Command(BaseCommand):
    help = (
        "Make in MLflow (3.17 or newer, with basic-auth) the role countersign-engineers, which may register versions "
        "and may not move a stage, and the role countersign-gate for the worker's account; then try what they hold. "
        "Exit code 1: something that they should hold is open; 2: they cannot be made."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
        parser.add_argument(
            "--engineer", action="append", default=[], metavar="ACCOUNT", help="give this account the engineers' role"
        )
        parser.add_argument(
            "--experiments", choices=LEVELS, default="EDIT", help="what engineers may do with all experiments"
        )
        parser.add_argument(
            "--only-say", action="store_true", help="exit code 0 also when something is open that they should hold"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            is_held = self._work(options)
        except (roles.Unfit, RegistryError) as error:
            raise CommandError(str(error), returncode=2) from error
        if not is_held and not options["only_say"]:
            sys.exit(NOT_HELD)

    def _work(self, options: dict[str, Any]) -> bool:
        mlflow, own = self._administrator(), SignIn.now()
        gate = own.username
        if not gate:
            raise roles.Unfit("Set MLFLOW_TRACKING_USERNAME to the worker's account; it is given the gate's role.")
        roles.confirm_fit(mlflow)
        wanted = roles.wanted(options["experiments"], in_workspace=bool(mlflow.named))
        work = roles.Work(mlflow, is_dry=options["dry_run"], say=self.stdout.write)
        for name, grants in wanted.items():
            work.role(name, grants)
        work.account(gate, own.password)
        work.assign(gate, roles.GATE)
        for account in options["engineer"]:
            work.assign(account, roles.ENGINEERS)
        if options["dry_run"]:
            self.stdout.write("Nothing was changed.")
            return True
        tried = roles.try_out(mlflow)
        self._table(tried)
        for sentence in work.beyond(gate):
            self.stdout.write(sentence)
        return all(row.is_right for row in tried)

    def _administrator(self) -> roles.Administrator:
        name, password = settings.MLFLOW_AUTH_ADMIN_USERNAME.read(), settings.MLFLOW_AUTH_ADMIN_PASSWORD.read()
        if not (name and password):
            raise roles.Unfit(
                "Set MLFLOW_AUTH_ADMIN_USERNAME and MLFLOW_AUTH_ADMIN_PASSWORD to an administrator of MLflow."
            )
        return roles.Administrator(
            settings.MLFLOW_TRACKING_URI,
            name,
            password,
            seconds=settings.MLFLOW_TIMEOUT_SECONDS,
            workspace=settings.MLFLOW_WORKSPACE,
        )

    def _table(self, tried: list[roles.Tried]) -> None:
        self.stdout.write(f"\nTried by an account with {roles.ENGINEERS} on models that are removed again:\n\n")
        width = max(len(row.what) for row in tried)
        for row in tried:
            said = ("open, on a model of one's own" if row.only_own else "open") if row.is_open else "refused"
            should = "" if row.is_right else f"   ← should be {'refused' if row.is_open else 'open'}"
            self.stdout.write(f"  {row.what:<{width}}  {said}{should}")
        if any(row.is_open and not row.is_right for row in tried):
            self.stdout.write(
                "\nIs default_permission in MLflow's basic_auth.ini EDIT or MANAGE? Make it READ or less."
            )
        self.stdout.write("\nWhat is open here, the gate's plugin closes for guarded places (docs/enforcement.md).")
