from django.db import migrations

from approvals.ledger import triggers

GENESIS = "0" * 64


def create(apps, schema_editor):
    """Two targets, two policies and the beginning of the chain, in the tables as they are here; `approvals.models.defaults`
    has them as they are now."""
    target, policy, slot, head = (
        apps.get_model("approvals", name) for name in ("Target", "Policy", "Slot", "ChainHead")
    )
    staging, _ = target.objects.get_or_create(
        name="Staging",
        defaults={"stage": "Staging", "position": 10, "description": "Integration tests load this version."},
    )
    production, _ = target.objects.get_or_create(
        name="Production",
        defaults={
            "stage": "Production",
            "alias": "champion",
            "archives_existing": True,
            "position": 20,
            "description": "Serving code loads this version.",
        },
    )
    for place, approvals in ((staging, 1), (production, 2)):
        made, is_new = policy.objects.get_or_create(model_pattern="*", target=place, retired_at=None)
        if is_new:
            slot.objects.create(policy=made, approvals=approvals)
    head.objects.get_or_create(pk=1, defaults={"sequence": 0, "hash": GENESIS})


class Migration(migrations.Migration):
    dependencies = [("approvals", "0001_initial")]

    operations = [
        migrations.RunPython(create, migrations.RunPython.noop),
        migrations.RunPython(
            lambda apps, schema_editor: triggers.install(schema_editor),
            lambda apps, schema_editor: triggers.remove(schema_editor),
        ),
    ]
