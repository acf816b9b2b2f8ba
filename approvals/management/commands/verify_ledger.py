"""`manage.py verify_ledger`: proves the whole ledger, for cron and auditors. Exit code 1 names the first bad row."""

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from approvals import ledger


class Command(BaseCommand):
    help = (
        "Verify the ledger from its first event to its head, against checkpoints, tags in MLflow and the rows that "
        "pages show. Exit code 0: intact; 1: the first bad row is named."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--checkpoint",
            action="append",
            default=[],
            metavar="FILE",
            help="signed checkpoints that were kept elsewhere; may be given more than once",
        )
        parser.add_argument(
            "--references",
            action=argparse.BooleanOptionalAction,
            default=True,
            help="hold the rows that pages show against the ledger (default)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        total = ledger.head().sequence
        is_watched = self.stderr.isatty() and options["verbosity"] > 0

        def show(count: int) -> None:
            if is_watched:
                self.stderr.write(f"\r{count:,} of {total:,} events verified", ending="")

        kept = []
        for name in options["checkpoint"]:
            try:
                kept.append(Path(name).read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"{name} cannot be read: {error}", returncode=2) from error
        verdict = ledger.verify(show, with_references=options["references"], with_anchors=True, checkpoints=kept)
        if is_watched:
            self.stderr.write("")
        if not verdict.is_intact:
            where = f"broken at event {verdict.first_bad}" if verdict.first_bad is not None else "broken"
            raise CommandError(f"The ledger is {where}. {verdict.problem}", returncode=1)
        self.stdout.write(f"The ledger is intact: {verdict.events:,} events, head {verdict.head}.")
        for remark in verdict.remarks:
            self.stdout.write(remark)
