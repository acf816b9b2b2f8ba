"""`manage.py gate`: the public key that MLflow's gate is given; `--new-key` makes a key pair."""

from argparse import ArgumentParser
from base64 import b64encode
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from mlflow_gate import grants


class Command(BaseCommand):
    help = "Print the public key of the gate in the MLflow server, for its COUNTERSIGN_GATE_KEYS."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--new-key", action="store_true", help="make a key pair and print it")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["new_key"]:
            key = Ed25519PrivateKey.generate()
            self.stdout.write(f"For the worker: COUNTERSIGN_GATE_KEY={b64encode(key.private_bytes_raw()).decode()}")
            self.stdout.write(f"For MLflow: COUNTERSIGN_GATE_KEYS={grants.public_key_of(key)}")
            return
        if not settings.GATE_KEY:
            raise CommandError("COUNTERSIGN_GATE_KEY is not set here: only the worker has it.", returncode=1)
        self.stdout.write(grants.public_key_of(Ed25519PrivateKey.from_private_bytes(settings.GATE_KEY)))
