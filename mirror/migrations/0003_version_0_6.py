"""What 0.6.0 adds."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('mirror', '0002_version_0_4'),
    ]

    operations = [
        migrations.AddField(
            model_name='mirrorstate',
            name='gate',
            field=models.JSONField(default=dict, help_text='Whether MLflow refuses what was not approved, when it was last asked: see probe.'),
        ),
    ]
