"""Time travel held against a log that knows nothing of it: random promotions, rollbacks and bypasses on a real MLflow
server until each has happened often enough, and after each what MLflow itself says."""

import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from approvals import assessment, delivery, ledger, tenures, watch, workflow
from approvals.models import Incident, OutboxEntry, PromotionRequest, Status, Target, Tenure
from approvals.tenures import as_of
from mirror import sync
from mirror.mlflow.client import MlflowRegistry
from mirror.models import ModelVersion, RegisteredModel
from tests.support.backstage import Backstage
from tests.support.factories import make_policy
from tests.support.mlflow_server import MlflowServer

pytestmark = [pytest.mark.server, pytest.mark.django_db, pytest.mark.nodb]  # test_as_of.py asks the same on each

MOST_STEPS = 200
MODELS = ("ask_first", "put_back", "report_only")
VERSIONS = 5
Held = Mapping[tuple[str, str, str], list[int]]


class World:
    """What the hands of this test do: through the gate, and round it."""

    def __init__(self, server: MlflowServer, people: dict[str, User], seed: int) -> None:
        self.registry = MlflowRegistry(server.url, timeout_seconds=15)
        self.engineer = Backstage(server.url)
        self.people = people
        self.dice = random.Random(seed)
        self.targets = list(Target.objects.current())
        self.did: dict[str, int] = {}

    def register(self) -> None:
        for model in MODELS:
            for _ in range(VERSIONS):
                self.engineer.create_version(model, run_id=self.engineer.log_run({"auc_roc": 0.9}))
        self.engineer.call(
            "POST", "model-versions/transition-stage", name="report_only", version="1", stage="Production",
            archive_existing_versions=False,
        )  # fmt: skip
        self.observe()

    def observe(self) -> None:
        """The worker's round: mirror, watch, and whatever it owes after that."""
        sync.sweep(self.registry)
        watch.run(self.registry)
        self.work()

    def work(self) -> None:
        for pk in list(PromotionRequest.objects.filter(status=Status.CHECKING).values_list("pk", flat=True)):
            assessment.assess(pk, self.registry)
        delivery.drain(self.registry)

    def says(self) -> Held:
        """What MLflow says, asked without any code of Countersign."""
        found: dict[tuple[str, str, str], list[int]] = {}
        versions = self.engineer.call("GET", "model-versions/search", max_results=1000)["model_versions"]
        for row in sorted(versions, key=lambda row: int(row["version"])):
            for target in self.targets:
                if row["current_stage"] == target.stage:
                    found.setdefault((row["name"], target.name, target.stage), []).append(int(row["version"]))
        for model in self.engineer.call("GET", "registered-models/search")["registered_models"]:
            for alias in model.get("aliases", []):
                for target in self.targets:
                    if alias["alias"] == target.alias:
                        found[model["name"], target.name, f"@{target.alias}"] = [int(alias["version"])]
        return found

    def has_seen_enough(self) -> bool:
        """Of all that makes time travel hard: one more step would repeat it."""
        return (
            self.did.get("promote", 0) > 20
            and self.did.get("roll_back", 0) > 5
            and Incident.objects.count() > 30
            and Incident.objects.filter(resolution=Incident.Resolution.PUT_BACK).exists()
        )

    # --- One step

    def step(self) -> None:
        name = self.dice.choices(
            ["promote", "roll_back", "stage", "alias", "alias_gone", "two_at_once"], [10, 4, 5, 4, 2, 2]
        )[0]
        self.did[name] = self.did.get(name, 0) + bool(getattr(self, f"_{name}")())

    def _promote(self) -> bool:
        version = self._some_version()
        try:
            request = workflow.request_promotion(
                version, self.dice.choice(self.targets), by=self.people["rita"], justification="Better."
            )
            self.work()
            for reviewer in ("remy", "rosa"):
                request.refresh_from_db()
                if request.status == Status.PENDING:
                    workflow.review(request, by=self.people[reviewer], verdict="approve")
        except workflow.WorkflowError:
            return False
        self.work()
        request.refresh_from_db()
        if request.is_open and request.status != Status.APPROVED:
            workflow.withdraw(request, by=self.people["rita"])
        return request.status == Status.APPLIED

    def _roll_back(self) -> bool:
        model = RegisteredModel.objects.get(name=self.dice.choice(MODELS))
        target = Target.objects.get(name="Production")
        try:
            request = workflow.roll_back(model, target, by=self.people["remy"], reason="Worse than before.")
        except workflow.WorkflowError:
            return False
        self.work()
        request.refresh_from_db()
        return request.status == Status.APPLIED

    def _stage(self) -> bool:
        stage = self.dice.choice(["None", "Staging", "Production", "Archived"])
        self.engineer.call(
            "POST", "model-versions/transition-stage", name=self.dice.choice(MODELS), version=self._some_number(),
            stage=stage, archive_existing_versions=stage in ("Staging", "Production") and self.dice.random() < 0.5,
        )  # fmt: skip
        self.observe()
        return True

    def _alias(self) -> bool:
        values = {"name": self.dice.choice(MODELS), "alias": "champion", "version": self._some_number()}
        self.engineer.call("POST", "registered-models/alias", **values)
        self.observe()
        return True

    def _alias_gone(self) -> bool:
        self.engineer.delete_alias(self.dice.choice(MODELS), "champion")
        self.observe()
        return True

    def _two_at_once(self) -> bool:
        """A bypass that nobody has looked at yet when something is promoted through the gate."""
        values = {"name": self.dice.choice(MODELS), "alias": "champion", "version": self._some_number()}
        self.engineer.call("POST", "registered-models/alias", **values)
        self._promote()
        self.observe()
        return True

    def _some_number(self) -> str:
        return str(self.dice.randint(1, VERSIONS))

    def _some_version(self) -> ModelVersion:
        found = ModelVersion.objects.select_related("model").filter(model__name=self.dice.choice(MODELS))
        return found.get(number=self.dice.randint(1, VERSIONS))


def test_every_moment_is_told_as_mlflow_told_it_then(
    mlflow_server: MlflowServer, rita: User, remy: User, rosa: User, production: Target
) -> None:
    make_policy("put_back", production, (2, None), on_bypass="put_back")
    make_policy("ask_first", production, (2, None), on_bypass="review")
    world = World(mlflow_server, {"rita": rita, "remy": remy, "rosa": rosa}, seed=20261124)
    world.register()
    log: list[tuple[datetime, Held]] = [(timezone.now(), world.says())]
    while not world.has_seen_enough():
        assert len(log) <= MOST_STEPS, (world.did, Incident.objects.count())
        world.step()
        log.append((timezone.now(), world.says()))

    wrong = [(at, said, told) for at, said in log if (told := as_of.holders_at(at)) != said]
    assert wrong == []
    assert not OutboxEntry.objects.open().exists()
    _check_the_books(log)


def _check_the_books(log: list[tuple[datetime, Any]]) -> None:
    """What the log cannot say: who answers for each tenure, and that the ledger proves itself."""
    for tenure in Tenure.objects.filter(origin=Tenure.Origin.DELIVERY).select_related("request__target"):
        assert tenure.request is not None
        assert tenure.request.status == Status.APPLIED
        assert tenure.place in tenures.places_of(tenure.request.target)
    assert ledger.verify().problem == ""
    assert as_of.holders_at(log[0][0])[("report_only", "Production", "Production")] == [1]
