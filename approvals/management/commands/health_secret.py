"""`manage.py health_secret MODEL`: the secret that health reports about a model are signed with."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from approvals.tenures import model_names
from approvals.webhooks import health_reports


class Command(BaseCommand):
    help = "Print the secret that health reports about the versions of this model are signed with."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="the model's name, as MLflow has it")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(health_reports.secret_for(model_names.known(options["model"])))
