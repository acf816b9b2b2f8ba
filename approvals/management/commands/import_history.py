"""`manage.py import_history FILE`: tenures from before Countersign, from a CSV file."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from approvals import administration
from approvals.tenures import importing
from approvals.workflow import WorkflowError

BAD, REFUSED = 2, 3


class Command(BaseCommand):
    help = (
        "Import earlier history from a CSV file. Exit code 2: the file is wrong or nothing of it is accepted; "
        "3: some rows are refused, and the others imported."
    )
    requires_migrations_checks = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="preview each row, store nothing")
        parser.add_argument("--by", metavar="EMAIL", help="the administrator who imports it; else the command line")

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        try:
            by = User.objects.get(email__iexact=options["by"]) if options["by"] else None
            with file.open("rb") as opened:
                content = opened.read(importing.LARGEST + 1)  # one more: too large is told
            checked = importing.check(content)
            for row in checked.refused:
                self.stderr.write(f"Line {row.line}: {row.reason}")
            for row in checked.odd:
                self.stderr.write(f"Line {row.line}: warning: {' '.join(row.warnings)}")
            if not options["dry_run"]:
                administration.import_history(content, file=file.name, confirmed=checked.sha256, by=by)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.", returncode=BAD) from error
        except User.DoesNotExist as error:
            raise CommandError(f"No person has the address {options['by']}.", returncode=BAD) from error
        except (importing.BadFile, WorkflowError) as error:
            raise CommandError(str(error), returncode=BAD) from error
        accepted, refused = len(checked.accepted), len(checked.refused)
        self.stdout.write(f"SHA-256 {checked.sha256}")
        self.stdout.write(
            f"{accepted} accepted, {refused} refused. {'Nothing was stored.' if options['dry_run'] else 'Imported.'}"
        )
        if refused:
            sys.exit(REFUSED)
