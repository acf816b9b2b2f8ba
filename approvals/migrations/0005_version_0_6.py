"""What 0.6.0 adds."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from approvals.migrations._together import Together
from approvals.models import defaults


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0004_version_0_5'),
        ('mirror', '0003_version_0_6'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='nomination',
            name='taken_back_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='target',
            name='enforcement',
            field=models.CharField(choices=[('off', 'Off: a direct change in MLflow is found afterwards'), ('observe', 'Observe: it is let through and recorded'), ('enforce', 'Enforce: MLflow refuses it')], default='off', help_text="Needs Countersign's gate in the MLflow server.", max_length=10, verbose_name='enforcement in MLflow'),
        ),
        Together(
            migrations.CreateModel(
                name='PolicyFeed',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('serial', models.BigIntegerField(default=0, help_text='Rises with every change, and never falls: see feed.')),
                    ('text', models.TextField(blank=True, help_text='The very bytes that are signed, as UTF-8.')),
                    ('signature', models.CharField(blank=True, max_length=120)),
                    ('key', models.CharField(blank=True, help_text='The public key that it is signed with, in base64.', max_length=60)),
                    ('issued_at', models.DateTimeField(blank=True, null=True)),
                    ('problem', models.TextField(blank=True, help_text='Why the worker could not sign lately, as a sentence.')),
                    ('fetched_at', models.DateTimeField(blank=True, help_text='When an MLflow last asked for it.', null=True)),
                ],
                options={
                    'constraints': [models.CheckConstraint(condition=models.Q(('pk', 1)), name='there_is_one_policy_feed')],
                },
            ),
            migrations.CreateModel(
                name='Refusal',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('key', models.CharField(help_text='Of who, what and where; without the secret it names no one.', max_length=64)),
                    ('times', models.PositiveIntegerField(default=1)),
                    ('last_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('messages', models.JSONField(default=list, help_text='Ids of what MLflow sent: the same one is counted once.')),
                    ('event', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='refusal', to='approvals.auditevent')),
                ],
                options={
                    'indexes': [models.Index(fields=['key', '-last_at'], name='refusal_by_key')],
                },
            ),
            migrations.CreateModel(
                name='SealedFolder',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('source', models.TextField(help_text='Of the version; another one is another version under the same number.')),
                    ('folder', models.TextField(blank=True, help_text='`1/models/m-7e81/artifacts`; empty: MLflow does not serve them.')),
                    ('version', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='sealed_folder', to='mirror.modelversion')),
                ],
            ),
            migrations.RemoveConstraint(
                model_name='nomination',
                name='one_nomination_per_person',
            ),
            migrations.RemoveConstraint(
                model_name='nomination',
                name='one_nomination_per_group',
            ),
            migrations.AddConstraint(
                model_name='nomination',
                constraint=models.UniqueConstraint(condition=models.Q(('person__isnull', False), ('taken_back_at', None)), fields=('request', 'person'), name='one_nomination_per_person'),
            ),
            migrations.AddConstraint(
                model_name='nomination',
                constraint=models.UniqueConstraint(condition=models.Q(models.Q(('group', ''), _negated=True), ('taken_back_at', None)), fields=('request', 'group'), name='one_nomination_per_group'),
            ),
        ),
        migrations.RunPython(defaults.enforce_production, migrations.RunPython.noop),
    ]
