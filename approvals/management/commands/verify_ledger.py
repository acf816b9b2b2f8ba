"""`manage.py verify_ledger`: proves the whole ledger, for cron and auditors. Exit code 1 names the first bad row."""

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from approvals import administration, ledger
from approvals.ledger import chain
from approvals.workflow import Invalid


class Command(BaseCommand):
    help = (
        "Verify the ledger from its first event to its head, against checkpoints, tags in MLflow and the rows that "
        "pages show. Every hash is computed here. Exit code 0: intact; 1: broken, and the first bad row is named; "
        "2: it could not be verified."
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

        way = parser.add_mutually_exclusive_group()
        way.add_argument(
            "--first-pass",
            action="store_true",
            help="let PostgreSQL compute the hashes, and a sample of them here: sooner, on the database's word",
        )
        way.add_argument(
            "--since-checkpoint",
            action="store_true",
            help="of the chain, only what was recorded since the newest signed checkpoint; what it signs is not read "
            "again, and an event that was altered before it is not found",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            verdict = self._verify(options)
        except CommandError:
            raise
        except Exception as error:  # an end that says nothing about the ledger must not read as a verdict
            raise CommandError(f"The ledger could not be verified: {error}", returncode=2) from error
        if not verdict.is_intact:
            where = f"broken at event {verdict.first_bad}" if verdict.first_bad is not None else "broken"
            raise CommandError(f"The ledger is {where}. {verdict.problem}", returncode=1)
        self.stdout.write(f"The ledger is intact: {verdict.events:,} events, head {verdict.head}.")
        if verdict.in_database:
            self.stdout.write("PostgreSQL computed the hashes; a sample of them was computed here as well.")
        if verdict.since:
            self.stdout.write(f"Up to event {verdict.since:,} the newest signed checkpoint was taken at its word.")
        for remark in verdict.remarks:
            self.stdout.write(remark)

    def _verify(self, options: dict[str, Any]) -> ledger.Verdict:
        total = ledger.head().sequence
        is_watched = self.stderr.isatty() and options["verbosity"] > 0

        def show(text: str) -> None:
            if is_watched:
                self.stderr.write(f"\r{text:<78}", ending="")

        kept = []
        for name in options["checkpoint"]:
            try:
                kept.append(Path(name).read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"{name} cannot be read: {error}", returncode=2) from error
        try:
            since = administration.trusted_end() if options["since_checkpoint"] else chain.BEGINNING
        except Invalid as error:
            raise CommandError(f"The ledger is broken. {error.message}", returncode=1) from error
        verdict = ledger.verify(
            lambda count: show(f"{count:,} of {total:,} events verified"),
            with_references=options["references"],
            with_anchors=True,
            checkpoints=kept,
            doing=lambda what: show(f"Now {what}"),
            since=since,
            first_pass=options["first_pass"],
        )
        if is_watched:
            self.stderr.write("")
        return verdict
