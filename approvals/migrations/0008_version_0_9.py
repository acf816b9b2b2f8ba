"""What 0.9.0 adds; first, the functions of the ledger's triggers ask the tables of the installation, whatever a session
calls its own."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from approvals.ledger import triggers


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0007_version_0_8'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunPython(
            lambda apps, schema_editor: triggers.look_at_these_tables(schema_editor), migrations.RunPython.noop
        ),
        migrations.CreateModel(
            name='Signing',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(blank=True, help_text='The public key, as the worker says; empty: none.', max_length=400)),
                ('wanted_at', models.DateTimeField(blank=True, help_text='Since when a person wants the head signed.', null=True)),
                ('problem', models.TextField(blank=True, help_text='Why what was wanted last was not signed, as a sentence.')),
                ('wanted_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('pk', 1)), name='there_is_one_signing')],
            },
        ),
        migrations.AddField(
            model_name='outboxentry',
            name='traceparent',
            field=models.CharField(blank=True, db_default='', default='', help_text='Of the click that approved: see tracing.', max_length=60),
        ),
    ]
