"""Ending a standstill from the command line: the same as on the System page, for when no one can sign in."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from approvals import administration
from approvals.workflow import WorkflowError


class StandstillCommand(BaseCommand):
    standstill: administration.Standstill
    requires_migrations_checks = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reason", required=True, help="kept in the ledger")
        parser.add_argument("--by", metavar="EMAIL", help="the administrator who does it; else the command line")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            by = User.objects.get(email__iexact=options["by"]) if options["by"] else None
            administration.end_standstill(self.standstill, by=by, reason=options["reason"])
        except User.DoesNotExist as error:
            raise CommandError(f"No person has the address {options['by']}.") from error
        except WorkflowError as error:
            raise CommandError(error.message) from error
        self.stdout.write(self.standstill.done)
