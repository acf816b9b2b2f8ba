"""`manage.py checkpoint`: signs the ledger's head and prints it, to be kept elsewhere; `--new-key` makes a key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from approvals import administration
from approvals.ledger import notes
from approvals.workflow import WorkflowError


class Command(BaseCommand):
    help = "Sign the head of the ledger and print the checkpoint. A head whose chain does not verify is not signed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--new-key", action="store_true", help="make a key pair, print it and sign nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["new_key"]:
            private, public = notes.new_key()
            self.stdout.write(f"COUNTERSIGN_CHECKPOINT_KEY={private}")
            self.stdout.write(f"Public key: {public}")
            return
        try:
            taken = administration.take_checkpoint(by=None)
        except WorkflowError as error:
            raise CommandError(error.message, returncode=1) from error
        self.stdout.write(taken.text, ending="")
