"""`manage.py policies export` and `manage.py policies apply FILE`: policies and freezes in version control."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals.administration import policy_files

DIFFERS, BAD = 3, 2


class Command(BaseCommand):
    help = "Write policies and freezes as YAML, or apply a file. Exit code 2: the file is wrong; 3: it differs."
    requires_migrations_checks = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("export", help="print the current policies")
        apply = verbs.add_parser("apply", help="make the policies equal to a file")
        apply.add_argument("file", type=Path)
        apply.add_argument("--dry-run", action="store_true", help="print the difference and change nothing")
        apply.add_argument("--prune", action="store_true", help="retire what the file does not have")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "export":
            self.stdout.write(policy_files.export(), ending="")
            return
        try:
            with options["file"].open("rb") as file:
                document = policy_files.read(file.read(policy_files.LARGEST + 1))  # one more: too large is told
            done = policy_files.apply(document, prune=options["prune"], dry_run=options["dry_run"])
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be read: {error.strerror}.", returncode=BAD) from error
        except policy_files.BadFile as error:
            raise CommandError(str(error), returncode=BAD) from error
        self.stdout.write(done.difference, ending="")
        for each in done.left_alone:
            self.stderr.write(f"Not in the file, and left alone: {each}. --prune retires it.")
        if not done.difference:
            self.stdout.write("Nothing differs.")
        elif options["dry_run"]:
            sys.exit(DIFFERS)
        else:
            self.stdout.write("Applied.")
