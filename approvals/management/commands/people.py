"""`manage.py people deactivate EMAIL`: ends a person's access where no one is at hand who could under People."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from approvals import administration
from approvals.workflow import WorkflowError


class Command(BaseCommand):
    help = "Deactivate a person: sessions and API tokens end at once, and the history has it."
    requires_migrations_checks = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        deactivate = verbs.add_parser("deactivate", help="end a person's access; no one is ever deleted")
        deactivate.add_argument("email", help="of the person or service account")

    def handle(self, *args: Any, **options: Any) -> None:
        person = User.objects.people().filter(email__iexact=options["email"].strip()).first()
        if person is None:
            raise CommandError(f"No one has the e-mail address {options['email']}.")
        if not person.is_active:
            self.stdout.write(f"{person.label} was deactivated already.")
            return
        try:
            administration.set_active(person, is_active=False, by=None)
        except WorkflowError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{person.label} is deactivated and signed out everywhere.")
