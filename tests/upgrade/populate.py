"""Writes the file that `test_upgrade` starts from. To be run inside a check-out of the old version, with its own
models, verbs and tests:

    git worktree add /tmp/old 852468b && cp tests/upgrade/populate.py /tmp/old/ && cd /tmp/old
    DJANGO_SETTINGS_MODULE=tests.settings DATABASE_URL=sqlite:////tmp/old.sqlite3 python populate.py v0_3_0.json
"""

import base64
import json
import sys
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from uuid import UUID

import django

django.setup()

from django.apps import apps  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.migrations.recorder import MigrationRecorder  # noqa: E402

LEFT_OUT = ("contenttypes.ContentType", "sessions.Session", "auth.Permission", "auth.Group_permissions")
"""Made anew by migrate."""


def populate() -> None:
    """Requests in every open state, decided ones, a break-glass promotion that is not reviewed yet, an incident, a
    person who was renamed, and one who was pseudonymised."""
    from django.utils import timezone

    from approvals import administration, workflow
    from approvals.models import Policy, Target
    from approvals.workflow.findings import FindingInput
    from tests.support.factories import make_exhibit, make_person, make_rule
    from tests.support.world import World

    production, staging = Target.objects.get(name="Production"), Target.objects.get(name="Staging")
    ada = make_person("Ada Brandt", "administrator")
    gone = make_person("Gus Voss", "requester")
    world = World("churn_predictor", "demand", "pricing")
    administration.save_policy(
        Policy(target=staging), make_rule("pri*", (1, None), allows_findings=True, requires_reason=True), by=ada
    )
    world.observe()
    make_exhibit(world.version("churn_predictor", 1))
    promoted = world.promote("churn_predictor", 1, production)
    workflow.comment(promoted, by=world.remy, body="Ask rosa@example.com about it.")
    world.decide(world.ask("churn_predictor", 2, production), verdict="reject")
    changes = world.ask("churn_predictor", 3, production)
    workflow.review(changes, by=world.remy, verdict="request_changes", comment="Say why.")
    half = world.ask("demand", 1, production)
    workflow.review(half, by=world.remy, verdict="approve", comment="Ok.")
    conditional = world.ask("pricing", 1, staging)
    finding = FindingInput("Write the model card.", world.rita, timezone.now().date())
    workflow.review(conditional, by=world.remy, verdict="approve", comment="Ok.", findings=[finding])
    world.work()
    world.ask("demand", 2, staging)
    workflow.request_promotion(world.version("demand", 3), staging, by=world.rita, justification="Not checked yet.")
    left = world.ask("pricing", 2, staging)
    workflow.withdraw(left, by=world.rita, reason="Never mind.")
    world.break_glass("churn_predictor", 4, production)
    world.observe()
    world.registry.set_alias("pricing", "champion", 4)
    sync_only(world)
    world.rosa.name = "Rosa Lindt"
    world.rosa.save()
    administration.pseudonymise(gone, reason="Asked for it.", by=ada)
    asked = workflow.request_promotion(world.version("pricing", 3), staging, by=world.rita, justification="On its way.")
    from approvals import assessment

    assessment.assess(asked.pk, world.registry)
    workflow.review(asked, by=world.rosa, verdict="approve", comment="Go.")  # approved, and not delivered


def sync_only(world: Any) -> None:
    from approvals import watch
    from mirror import sync

    sync.sweep(world.registry)
    sync.pull(world.registry)
    watch.run(world.registry)


def plain(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(bytes(value)).decode()}
    return str(value) if isinstance(value, UUID) else value


def dumped() -> dict[str, Any]:
    """Where the migrations are, and the rows of every table of ours in an order in which they can be stored."""
    newest: dict[str, str] = {}
    for app, name in MigrationRecorder(connection).applied_migrations():
        newest[app] = max(newest.get(app, ""), name)
    tables = {}
    for model in apps.get_models(include_auto_created=True):
        if model._meta.label in LEFT_OUT:
            continue
        names = [field.attname for field in model._meta.concrete_fields]
        rows = [[plain(value) for value in row] for row in model._base_manager.order_by("pk").values_list(*names)]
        if rows:
            tables[model._meta.label] = {"columns": names, "rows": rows}
    return {"migrations": {app: newest[app] for app in ("accounts", "mirror", "approvals")}, "tables": tables}


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    populate()
    Path(sys.argv[1]).write_text(json.dumps(dumped(), ensure_ascii=False, separators=(",", ":")) + "\n")
