"""`manage.py check_mlflow`: tries each right that delivery, rollback and put-back need, on a model of its own, and
names what is missing. The last result is kept for System and /readyz."""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mirror import clock, connect, rights

MISSING = 1
WORDS = {"good": "OK", "note": "NOTE", "bad": "MISSING", "skipped": "–"}


class Command(BaseCommand):
    help = (
        "Try what the service account needs in MLflow on a canary model, which is made and removed again. Exit code 1: "
        "something is missing."
    )
    requires_migrations_checks = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Django's own --version gives way to the canary's."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--model", default="", help="use this canary, which an administrator made: countersign-canary"
        )
        parser.add_argument("--version", type=int, default=1, help="and this version of it (default: 1)")
        parser.add_argument("--json", action="store_true", help="print the rows as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        trial = rights.Trial(connect.connect(), model=options["model"], version=options["version"])
        try:
            trial.run()
        except ValueError as error:
            raise CommandError(str(error), returncode=2) from error
        rights.keep(trial, clock.now())
        if options["json"]:
            self.stdout.write(json.dumps({"ok": trial.is_good, "rows": [asdict(row) for row in trial.rows]}, indent=2))
        else:
            self._table(trial.rows)
        if not trial.is_good:
            sys.exit(MISSING)

    def _table(self, rows: list[rights.Row]) -> None:
        width = max(len(row.what) for row in rows)
        for row in rows:
            self.stdout.write(f"{row.what:<{width}}  {WORDS[row.level]:<7}  {row.words}".rstrip())
            if row.remedy:
                self.stdout.write(f"{'':<{width}}           → {row.remedy}")
