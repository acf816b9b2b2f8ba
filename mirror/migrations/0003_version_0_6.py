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
        migrations.AlterField(
            model_name='outage',
            name='error',
            field=models.TextField(blank=True, help_text='What it said, or why it did not answer; empty: it was not asked.'),
        ),
    ]
