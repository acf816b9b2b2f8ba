"""One MLflow server, driven by Countersign's own worker code: `python -m tests.servers.drive ADMIN_URL` prints what
each step came to, as JSON lines. The environment says which MLflow and with which service account; the server asks for
passwords, and `ADMIN_URL` has the administrator's."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import django
import requests
from django.core.management import call_command

MODEL, OTHER, CLOSED = "churn_predictor", "fraud_card", "not_granted"


class Drive:
    """The steps in order; each raises whatever is wrong. An engineer, who is MLflow's administrator here, registers
    versions and goes round the gate."""

    def __init__(self, admin_url: str) -> None:
        from approvals.models import Target
        from mirror.mlflow.client import MlflowRegistry
        from tests.support.backstage import Backstage
        from tests.support.factories import make_person, make_policy

        self.engineer = Backstage(admin_url)
        self.registry = MlflowRegistry.from_settings()
        self.rita, self.remy, self.rosa, self.otto = (
            make_person(name, role)
            for name, role in (
                ("Rita Sanz", "requester"),
                ("Remy Ortiz", "reviewer"),
                ("Rosa Lind", "reviewer"),
                ("Otto Reyes", "responder"),
            )
        )
        self.production = Target.objects.get(name="Production")
        make_policy("*", self.production, (2, None), on_bypass="put_back")

    @property
    def steps(self) -> dict[str, Callable[[], None]]:
        return {
            "mirror": self.mirror,
            "promotion": self.promotion,
            "rollback": self.rollback,
            "bypass by stage": self.bypass_by_stage,
            "bypass by alias": self.bypass_by_alias,
            "deletion": self.deletion,
            "refused permission": self.refused_permission,
        }

    def mirror(self) -> None:
        from mirror.models import ModelVersion

        for model, count in ((MODEL, 4), (OTHER, 1), (CLOSED, 1)):
            for number in range(1, count + 1):
                run_id = self.engineer.log_run({"auc_roc": 0.9 + number / 100}, {"max_depth": str(number)})
                self.engineer.create_version(model, run_id=run_id, description=f"Trained for the {number}th time.")
        for model in (MODEL, OTHER):
            self.grant(model)
        self.look()  # the first look takes whatever it finds for what was before the gate
        equal(ModelVersion.objects.filter(model__name=MODEL, deleted_at=None).count(), 4, "versions in the mirror")

    def promotion(self) -> None:
        for number in (1, 2):
            request = self.approved(MODEL, number)
            equal(self.deliver(request), "applied", f"the delivery of version {number}")
            found = self.registry.version(MODEL, number)
            equal(found.description.count(f"request #{request.pk}\n"), 1, "approval notes")
            equal(found.tags.get("countersign.request"), str(request.pk), "tag countersign.request")
            equal(self.held(), ([number], number), "what holds Production")
        equal(self.registry.version(MODEL, 1).stage, "Archived", "the stage of the version before")

    def rollback(self) -> None:
        from approvals import delivery, workflow
        from mirror.models import RegisteredModel

        model = RegisteredModel.objects.get(name=MODEL)
        reason = "Version 2 scores every customer as lost since nine o'clock."
        request = workflow.roll_back(model, self.production, by=self.otto, reason=reason, leaving=2)
        delivery.drain(self.registry)
        request.refresh_from_db()
        equal(request.status, "applied", "the rollback")
        equal(self.held(), ([1], 1), "what holds Production")

    def bypass_by_stage(self) -> None:
        self.engineer.call(
            "POST",
            "model-versions/transition-stage",
            name=MODEL,
            version="3",
            stage="Production",
            archive_existing_versions=True,
        )
        self.put_back(MODEL, "Production")
        equal(self.held(), ([1], 1), "what holds Production")

    def bypass_by_alias(self) -> None:
        self.alias(MODEL, 3)
        self.put_back(MODEL, "@champion")
        equal(self.held(), ([1], 1), "what holds Production")
        self.alias(OTHER, 1)  # nobody approved any version of it: the alias is deleted
        self.put_back(OTHER, "@champion")
        equal(dict(self.registry.model(OTHER).aliases), {}, "aliases")

    def alias(self, model: str, number: int) -> None:
        self.engineer.call("POST", "registered-models/alias", name=model, alias="champion", version=str(number))

    def deletion(self) -> None:
        from approvals.models import Incident
        from mirror.models import ModelVersion

        self.engineer.delete_version(MODEL, 1)
        self.look()
        found = Incident.objects.filter(model_name=MODEL, kind="deleted").values_list("place", flat=True)
        equal(set(found), {"Production", "@champion"}, "places whose holder was deleted")
        gone = ModelVersion.objects.filter(model__name=MODEL).exclude(deleted_at=None)
        equal([each.number for each in gone], [1], "versions marked as deleted")

    def refused_permission(self) -> None:
        """The account may read everything and write to two models only. The delivery waits, and goes on when the right
        is given."""
        request = self.approved(CLOSED, 1)
        outcome = self.deliver(request)
        entry = request.outbox_entries.latest("pk")
        equal((outcome, request.status), ("waiting", "approved"), f"the delivery ({entry.last_error[:80]})")
        self.grant(CLOSED)
        equal(self.deliver(request), "applied", "the delivery after the grant")

    # --- Helpers

    def grant(self, model: str) -> None:
        name = os.environ["MLFLOW_TRACKING_USERNAME"]
        values = {"resource_type": "registered_model", "resource_id": model, "username": name, "permission": "MANAGE"}
        path, old = "users/permissions/grant", {"name": model, "username": name, "permission": "MANAGE"}
        answer = requests.post(f"{self.engineer.url}/api/3.0/mlflow/{path}", json=values, timeout=60)
        if answer.status_code == 404:  # before MLflow had roles
            self.engineer.call("POST", "registered-models/permissions/create", **old)
        else:
            equal((answer.status_code, answer.text[:200]), (200, answer.text[:200]), f"the grant for {model}")

    def approved(self, model: str, number: int) -> Any:
        from tests.support.factories import approve
        from tests.support.world import ask

        request = ask(self.registry, number, self.production, by=self.rita, model=model)
        equal(request.status, "pending", f"the request after the checks ({request.status_reason})")
        return approve(request, self.remy, self.rosa)

    def deliver(self, request: Any) -> str:
        from tests.support import world

        return world.deliver(request, self.registry)

    def held(self) -> tuple[list[int], int | None]:
        numbers = sorted(each.number for each in self.registry.versions_in_stage(MODEL, "Production"))
        return numbers, self.registry.model(MODEL).aliases.get("champion")

    def look(self) -> None:
        from approvals import watch
        from mirror import sync

        for _ in range(2):
            sync.sweep(self.registry)
            watch.run(self.registry)

    def put_back(self, model: str, place: str) -> None:
        from approvals.models import Incident

        self.look()
        found = Incident.objects.filter(model_name=model, place=place).order_by("-pk").first()
        equal((found and found.kind, found and found.resolution), ("moved", "put_back"), f"the incident of {place}")


def equal(found: object, expected: object, what: str) -> None:
    if found != expected:
        raise RuntimeError(f"{what}: {found!r}, not {expected!r}")


def main(admin_url: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_ui.settings")
    django.setup()
    call_command("migrate", verbosity=0)
    drive = Drive(admin_url)
    for name, step in drive.steps.items():
        try:
            step()
            said = "ok"
        except Exception as error:  # told in the table
            said = f"{type(error).__name__}: {error}"
        print(json.dumps([name, said]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
