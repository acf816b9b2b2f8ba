"""`manage.py create_admin`: makes the first administrator, whom no one can invite. The password is no argument."""

import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts import roles, second_factor
from accounts.models import User
from approvals import administration
from approvals.workflow import Invalid


class Command(BaseCommand):
    help = "Make a person with a password and the administrator role, or others. Invite the rest on the People page."
    requires_migrations_checks = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--name", required=True, help="full name; shown on requests and approvals")
        parser.add_argument(
            "--role",
            action="append",
            choices=list(roles.PERMISSIONS),
            help="may be given several times; default: administrator",
        )
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password from standard input, not the terminal"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        email, name = options["email"].strip(), options["name"].strip()
        password = sys.stdin.readline().rstrip("\r\n") if options["password_stdin"] else self._ask()
        groups = Group.objects.filter(name__in=options["role"] or [roles.ADMINISTRATOR])
        try:
            validate_password(password, User(email=email, name=name))
            with transaction.atomic():
                person = administration.create_person(email=email, name=name, password=password, groups=groups)
                # Who runs the command vouches for the address: with sign-up open, unconfirmed ones cannot sign in.
                EmailAddress.objects.create(user=person, email=person.email, primary=True, verified=True)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except Invalid as error:
            raise CommandError(error.message) from error
        listed = ", ".join(groups.order_by("name").values_list("name", flat=True))
        self.stdout.write(f"{person.label} can sign in. Roles: {listed}.")
        if second_factor.needed_for(groups.values_list("name", flat=True)):
            self.stdout.write("At the first sign-in they add an authenticator app or a passkey: the role needs it.")

    def _ask(self) -> str:
        password = getpass("Password: ")
        if getpass("Again: ") != password:
            raise CommandError("The two passwords differ.")
        return password
