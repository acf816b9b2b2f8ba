"""What 0.4.0 added."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def unlink(apps, schema_editor):
    """Until 0.3.0 a text in `email_verified`, such as "false", verified an address, and an account at the provider was
    linked to whoever has it. Such a link ends; its owner signs in otherwise and links the account again."""
    SocialAccount = apps.get_model("socialaccount", "SocialAccount")
    for account in SocialAccount.objects.all():
        told = account.extra_data if isinstance(account.extra_data, dict) else {}
        said = (told.get("userinfo") or told.get("id_token") or told).get("email_verified")
        if isinstance(said, str) and said.lower() != "true":
            account.delete()


class Migration(migrations.Migration):
    replaces = [
        ("accounts", "0005_unlink_unverified"),
        ("accounts", "0006_owner_and_former_names"),
    ]
    dependencies = [("accounts", "0001_version_0_3"), ("socialaccount", "0006_alter_socialaccount_extra_data")]

    operations = [
        migrations.AddField(
            model_name='user',
            name='former_mlflow_names',
            field=models.JSONField(blank=True, default=list, help_text='What an administrator noted before; still counts; list of text.'),
        ),
        migrations.AddField(
            model_name='user',
            name='former_names',
            field=models.JSONField(blank=True, default=list, help_text='Names and e-mail addresses that they had before; list of text.'),
        ),
        migrations.AddField(
            model_name='user',
            name='owner',
            field=models.ForeignKey(blank=True, help_text='Of a service account: who answers for it, and counts as the requester of what it asks.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.RunPython(unlink, migrations.RunPython.noop),
    ]
