"""Loads an old installation into the empty database of DATABASE_URL, upgrades it, goes on working with it, and prints
what became of it as JSON. A process of its own, because the suite's database is of this version.

python -m tests.upgrade.upgrading v0_3_0.json
"""

import base64
import json
import sys
from operator import itemgetter
from pathlib import Path
from typing import Any

import django

django.setup()

from django.contrib.auth.models import Group  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.management.color import no_style  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.db.migrations.executor import MigrationExecutor  # noqa: E402

from accounts.models import User  # noqa: E402
from approvals import assessment, ledger, workflow  # noqa: E402
from approvals.ledger import triggers  # noqa: E402
from approvals.models import AuditEvent, Comment, PromotionRequest, Review, Status  # noqa: E402


def load(told: dict[str, Any]) -> None:
    """The tables as they were then, with the triggers."""
    executor = MigrationExecutor(connection)
    others = [node for node in executor.loader.graph.leaf_nodes() if node[0] not in told["migrations"]]
    ours = [
        (app, name)
        for (app, name), migration in sorted(executor.loader.disk_migrations.items(), key=itemgetter(0))
        if app in told["migrations"] and migration.replaces and max(migration.replaces)[1] <= told["migrations"][app]
    ]
    executor.migrate([*ours, *others])
    for app, name in ours:
        executor.recorder.record_unapplied(app, name)  # it stands beside what it replaces, which is all that there was
    apps = executor.loader.project_state([*ours, *others]).apps
    with connection.schema_editor() as editor:
        triggers.remove(editor)
    tables = [(apps.get_model(label), table) for label, table in told["tables"].items()]
    with transaction.atomic(), connection.constraint_checks_disabled():
        for model in reversed(apps.get_models(include_auto_created=True)):
            if model._meta.app_label in told["migrations"]:
                rows = model._base_manager.all()
                rows._raw_delete(rows.db)
        for model, table in tables:
            model._base_manager.bulk_create(
                [model(**dict(zip(table["columns"], row, strict=True))) for row in _read(model, table)]
            )
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [model for model, _ in tables]):
            cursor.execute(statement)
    with connection.schema_editor() as editor:
        triggers.install(editor)


def _read(model: Any, table: dict[str, Any]) -> list[list[Any]]:
    fields = {field.attname: field for field in model._meta.concrete_fields}
    kinds = [fields[name] for name in table["columns"]]
    return [[_value(field, value) for field, value in zip(kinds, row, strict=True)] for row in table["rows"]]


def _value(field: Any, value: Any) -> Any:
    if isinstance(field, models.BinaryField):
        return base64.b64decode(value["base64"])
    return value if isinstance(field, models.JSONField) else field.to_python(value)


def standing() -> list[dict[str, Any]]:
    columns = ("pk", "status", "status_reason", "fingerprint", "evidence", "rule", "decided_at", "closed_at")
    live = Review.objects.live()
    return [
        {**{name: str(value) for name, value in row.items()},
         "approvals": live.filter(request=row["pk"]).count()}
        for row in PromotionRequest.objects.order_by("pk").values(*columns)
    ]  # fmt: skip


def forged() -> list[str]:
    """What verification says of rows from before the upgrade that somebody alters, deletes and adds by hand."""
    said = []
    comment = Comment.objects.get()
    for change in (
        lambda: Comment.objects.update(body="Never asked."),
        lambda: Comment.objects.all().delete(),
        lambda: Comment.objects.create(request=comment.request, author=comment.author, body="Me too."),
        lambda: User.objects.get(name="Rita Sanz").groups.add(Group.objects.get(name="reviewer")),
    ):
        with transaction.atomic():
            change()
            said.append(ledger.verify(with_references=True).problem)
            transaction.set_rollback(True)
    return said


def main(path: str) -> None:
    told = json.loads(Path(path).read_text())
    load(told)
    call_command("migrate", verbosity=0)
    columns = told["tables"]["approvals.PromotionRequest"]["columns"]
    before = [dict(zip(columns, row, strict=True)) for row in told["tables"]["approvals.PromotionRequest"]["rows"]]
    last = told["tables"]["approvals.AuditEvent"]["rows"][-1][0]
    verdict = ledger.verify(with_references=True, with_anchors=True)
    now = {row["pk"]: row for row in standing()}
    problems = forged() if Comment.objects.exists() else []
    assessment.watch()
    watched = {row["pk"]: row for row in standing()}
    half = PromotionRequest.objects.get(status=Status.PENDING, target__name="Production")
    workflow.review(half, by=User.objects.get(name__startswith="Rosa"), verdict="approve", comment="Also.")
    half.refresh_from_db()
    after = ledger.verify(with_references=True, with_anchors=True)
    call_command("migrate", verbosity=0)
    print(
        json.dumps(
            {
                "verdict": [verdict.problem, *verdict.remarks],
                "forged": problems,
                "statuses": [[row["status"], now[str(row["id"])]["status"]] for row in before],
                "fingerprints": [[row["fingerprint"], now[str(row["id"])]["fingerprint"]] for row in before],
                "changed_by_the_watch": [pk for pk, row in watched.items() if row != now[pk]],
                "approved": half.status,
                "after": after.problem,
                "actions": sorted({*AuditEvent.objects.filter(sequence__gt=last).values_list("action", flat=True)}),
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
