"""`manage.py check_secret NAME`: the secret that an external check and Countersign sign with."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from approvals.checks import signing


class Command(BaseCommand):
    help = "Print the secret that the external check of this name and Countersign sign their messages with."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the check's name, as the policy has it")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(signing.secret_for(options["name"].strip()))
