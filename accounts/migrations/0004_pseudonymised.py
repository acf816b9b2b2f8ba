from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_service_accounts")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="pseudonymised_at",
            field=models.DateTimeField(
                blank=True, help_text="Name and address were taken away then; there is no way back.", null=True
            ),
        ),
    ]
