"""`manage.py verify_ledger`: proves the whole chain, for cron and for auditors. Exit code 1 names the first bad row."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals import ledger
from approvals.models import ChainHead


class Command(BaseCommand):
    help = "Verify the ledger from its first event to its head. Exit code 0: intact; 1: the first bad event is named."
    requires_migrations_checks = True

    def handle(self, *args: Any, **options: Any) -> None:
        total = ChainHead.objects.get(pk=1).sequence
        is_watched = self.stderr.isatty() and options["verbosity"] > 0

        def show(count: int) -> None:
            self.stderr.write(f"\r{count:,} of {total:,} events verified", ending="")

        if is_watched:
            verdict = ledger.verify(show)
            self.stderr.write("")
        else:
            verdict = ledger.verify()
        if not verdict.is_intact:
            raise CommandError(f"The ledger is broken at event {verdict.first_bad}. {verdict.problem}", returncode=1)
        head = ChainHead.objects.get(pk=1)
        self.stdout.write(f"The ledger is intact: {verdict.events:,} events, head {head.hash}.")
