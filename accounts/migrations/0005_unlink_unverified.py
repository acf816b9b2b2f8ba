from django.db import migrations


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
    dependencies = [("accounts", "0004_pseudonymised"), ("socialaccount", "0006_alter_socialaccount_extra_data")]

    operations = [migrations.RunPython(unlink, migrations.RunPython.noop)]
