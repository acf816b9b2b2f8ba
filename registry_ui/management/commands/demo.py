"""Fills an installation on this machine with the demo's people, models and requests; `make demo` runs it."""

import os
from argparse import ArgumentParser
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from approvals import administration
from approvals.enforcement import feed
from approvals.models import Enforcement
from mirror import identity
from mirror.connect import connect
from registry_ui.demo import people
from registry_ui.demo.console import Console
from registry_ui.demo.story import Story, StoryError


class Command(BaseCommand):
    help = "Fill an installation on this machine with people, trained models and requests; continues where it stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--password", required=True, help="the password of all demo people")
        parser.add_argument(
            "--before-the-gate", action="store_true", help="people and models, before the worker first looks"
        )
        parser.add_argument("--moved", action="store_true", help="accept the demo's MLflow at another port, no more")

    def handle(self, *args: Any, **options: Any) -> None:
        for address in (settings.SITE_URL, settings.MLFLOW_TRACKING_URI):
            if urlsplit(address).hostname not in {"127.0.0.1", "localhost"}:
                raise CommandError(
                    f"{address} is not on this machine. The demo's people have a password that all know."
                )
        console = Console()
        if options["moved"]:
            self._accept(console)
        else:
            self._fill(console, options["password"], is_played=not options["before_the_gate"])

    def _fill(self, console: Console, password: str, *, is_played: bool) -> None:
        if is_played:
            self._play(password, console)
            return
        with console.step("People"):
            cast = people.assemble(password)
            people.enforce_production(Enforcement.OFF, by=cast.ada)
            feed.sign_if_due(connect())  # there is no worker yet, and MLflow guards Production until it is told
        self._train(console)
        people.enforce_production(Enforcement.OBSERVE, by=cast.ada)
        feed.sign_if_due(connect())

    def _accept(self, console: Console) -> None:
        """The same MLflow at another address could be a copy; the demo started it, and knows that it is none."""
        with console.step(f"MLflow moved to {settings.MLFLOW_TRACKING_URI}"):
            try:
                identity.confirm(connect())
            except identity.AnotherRegistry:
                administration.end_standstill(
                    administration.REGISTRY, by=None, reason="The demo was started with another MLFLOW_PORT."
                )

    def _play(self, password: str, console: Console) -> None:
        try:
            with console.step("Requests and reviews") as step:
                Story(people.assemble(password), tell=step.show, go_round=_go_round_the_gate).play()
        except StoryError as problem:
            raise CommandError(str(problem)) from problem

    def _train(self, console: Console) -> None:
        with console.step("Models") as step:
            os.environ["MLFLOW_TRACKING_URI"] = settings.MLFLOW_TRACKING_URI
            # Heavy (4 s), so only now, when the step already shows.
            from mlflow import MlflowClient  # noqa: PLC0415

            from registry_ui.demo import recipes, training  # noqa: PLC0415

            client = MlflowClient()
            missing = training.missing(client)
            for count, recipe in enumerate(training.train(client, missing), start=1):
                step.show(f"training {recipe.model} version {recipe.number} ({count} of {len(missing)})")
            training.move_as_before_the_gate(client)
            step.label = f"Models: {len(recipes.RECIPES)} versions of {len(recipes.MODEL_DESCRIPTIONS)} trained"


def _go_round_the_gate() -> None:
    os.environ["MLFLOW_TRACKING_URI"] = settings.MLFLOW_TRACKING_URI
    # Heavy, and needed once.
    from mlflow import MlflowClient  # noqa: PLC0415

    from registry_ui.demo import training  # noqa: PLC0415

    training.go_round_the_gate(MlflowClient())
