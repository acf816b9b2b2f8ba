"""Room for the names behind the tokens of the ledger. The ledger's own table is not touched: two of its columns only
get other names in the code, since what they hold is no longer what people read."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0010_checkpoints"),
        ("accounts", "0004_pseudonymised"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameField("auditevent", "actor_label", "stored_actor"),
                migrations.AlterField(
                    "auditevent",
                    "stored_actor",
                    models.CharField(
                        db_column="actor_label",
                        help_text="Survives the person; the worker has no row.",
                        max_length=400,
                    ),
                ),
                migrations.RenameField("auditevent", "allowed_by", "stored_allowed_by"),
                migrations.AlterField(
                    "auditevent",
                    "stored_allowed_by",
                    models.TextField(
                        blank=True,
                        db_column="allowed_by",
                        help_text="Who allowed what the actor did, one label per line.",
                    ),
                ),
            ]
        ),
        migrations.CreateModel(
            name="Identity",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "naming",
                    models.CharField(
                        choices=[("label", "Name and address"), ("other", "Address alone, or name in MLflow")],
                        default="label",
                        max_length=10,
                    ),
                ),
                (
                    "label",
                    models.CharField(
                        blank=True, help_text="`Remy Ortiz <remy@example.com>`; empty once erased.", max_length=1000
                    ),
                ),
                (
                    "salt",
                    models.CharField(blank=True, help_text="Random, hexadecimal; empty once erased.", max_length=64),
                ),
                (
                    "commitment",
                    models.CharField(help_text="SHA-256 over salt, person and label.", max_length=64, unique=True),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("erased_at", models.DateTimeField(blank=True, null=True)),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="identities",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("erased_at", None)),
                        fields=("person", "label"),
                        name="one_identity_per_person_and_label",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("erased_at", None),
                                models.Q(("label", ""), _negated=True),
                                models.Q(("salt", ""), _negated=True),
                            ),
                            models.Q(("erased_at__isnull", False), ("label", ""), ("salt", "")),
                            _connector="OR",
                        ),
                        name="nothing_is_left_exactly_when_erased",
                    ),
                ],
            },
        ),
    ]
