"""`manage.py sweep`: makes the mirror equal to MLflow now, with visible progress; `--dry-run` only says what would
change."""

import argparse
from contextlib import nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals import administration
from approvals.workflow import WorkflowError
from mirror import connect, port, sync
from mirror.leases import held


class Command(BaseCommand):
    help = (
        "Reads the whole MLflow Model Registry into the mirror: models, versions, aliases, tags, run facts, deletions."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Write nothing; print what would change.")
        parser.add_argument(
            "--confirm-deletions",
            metavar="REASON",
            help="Enter why so much is missing from MLflow; then it is asked for by name, and what is gone is marked.",
        )

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        if options["confirm_deletions"] is not None:
            try:
                administration.end_standstill(administration.DELETIONS, by=None, reason=options["confirm_deletions"])
            except WorkflowError as error:
                raise CommandError(error.message) from error
        try:
            with nullcontext(True) if dry_run else held("sweeping_until") as is_ours:
                if not is_ours:
                    raise CommandError("Another sweep is running. Its progress is on the System page.")
                report = sync.sweep(connect.connect(), dry_run=dry_run, on_progress=self._show)
        except port.RegistryError as error:
            raise CommandError(error.message) from error
        finally:
            self._end_line()
        for line in (*report.notes, *report.changes):
            self.stdout.write(line)
        self.stdout.write(
            f"{report.models} models and {report.versions} versions in MLflow, read in {report.seconds:.1f} s. "
            + ("Would be: " if dry_run else "")
            + f"{report.added} versions added, {report.changed} changed, {report.deleted} deleted"
            + ("." if dry_run else f"; {report.facts} run facts read.")
        )

    def _show(self, report: sync.SweepReport) -> None:
        text = f"{report.models} models, {report.versions} versions, {report.facts} run facts"
        self.stderr.write(f"\r{text}" if self.stderr.isatty() else text, ending="" if self.stderr.isatty() else "\n")

    def _end_line(self) -> None:
        if self.stderr.isatty():
            self.stderr.write("")
