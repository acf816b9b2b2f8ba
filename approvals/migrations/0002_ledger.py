"""The ledger's triggers, and what every installation starts with."""

from django.db import migrations

from approvals.ledger import triggers

GENESIS = "0" * 64


def terms(approvals):
    return {
        "model_pattern": "*",
        "slots": [{"approvals": approvals, "group": None, "looks_at": []}],
        "requires_reason": False,
        "open_for_days": 14,
        "checks": [],
        "watched_tags": ["*"],
        "excludes_contributors": False,
        "contributor_tags": [],
        "files_limit_mb": None,
        "allows_findings": True,
        "signature": {"reauthenticate": False, "within_minutes": 5, "asks_meaning": False},
        "reminders": {
            "first_after_hours": 24,
            "every_hours": 48,
            "escalate_after_hours": None,
            "escalate_to": None,
        },
    }


def create(apps, schema_editor):
    """Two targets with a policy each, the beginning of the chain, and nobody who is told of what was before it, in the
    tables as they are here; `approvals.models.defaults` has them as they are now."""
    target, policy, version, head, state = (
        apps.get_model("approvals", name)
        for name in ("Target", "Policy", "PolicyVersion", "ChainHead", "NotificationState")
    )
    staging = target.objects.create(
        name="Staging", stage="Staging", position=10, description="Integration tests load this version."
    )
    production = target.objects.create(
        name="Production",
        stage="Production",
        alias="champion",
        archives_existing=True,
        position=20,
        description="Serving code loads this version.",
    )
    for place, approvals in ((staging, 1), (production, 2)):
        made = policy.objects.create(target=place, position=1, terms=terms(approvals))
        version.objects.create(
            policy=made, number=1, terms=made.terms, saved_at=made.created_at, saved_as="Countersign upgrade"
        )
    head.objects.create(pk=1, sequence=0, hash=GENESIS)
    state.objects.create(pk=1, sequence=0)


class Migration(migrations.Migration):
    replaces = [("approvals", "0002_ledger_and_defaults")]
    dependencies = [("approvals", "0001_version_0_3")]

    operations = [
        migrations.RunPython(create, migrations.RunPython.noop),
        migrations.RunPython(
            lambda apps, schema_editor: triggers.install(schema_editor),
            lambda apps, schema_editor: triggers.remove(schema_editor),
        ),
    ]
