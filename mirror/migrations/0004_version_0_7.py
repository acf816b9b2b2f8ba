"""What 0.7.0 adds."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('mirror', '0003_version_0_6'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='registeredmodel',
            name='model_by_update',
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='pull_due_at',
            field=models.DateTimeField(help_text='When the next pull is due; empty: now.', null=True),
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='pull_took',
            field=models.JSONField(db_default=[], default=list, help_text='Seconds that MLflow took for what every pull asks, of the last few: see pace.'),
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='sweep_due_at',
            field=models.DateTimeField(help_text='The same of the next sweep.', null=True),
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='sweep_took',
            field=models.JSONField(db_default=[], default=list, help_text='The same of sweeps.'),
        ),
        migrations.AddIndex(
            model_name='registeredmodel',
            index=models.Index(condition=models.Q(('deleted_at__isnull', True)), fields=['-last_updated_at', '-name'], name='model_by_update'),
        ),
    ]
