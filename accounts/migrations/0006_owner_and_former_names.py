import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_unlink_unverified")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="former_mlflow_names",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="What an administrator noted before; goes on counting; list of text.",
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="former_names",
            field=models.JSONField(
                blank=True, default=list, help_text="Names and e-mail addresses that they had before; list of text."
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="owner",
            field=models.ForeignKey(
                blank=True,
                help_text="Of a service account: who answers for it, and counts as the requester of what it asks.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
