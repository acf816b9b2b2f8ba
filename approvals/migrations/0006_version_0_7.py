"""What 0.7.0 adds."""

from django.conf import settings
from django.db import migrations, models

from approvals.ledger import triggers
from approvals.migrations._together import Together


def look_along_indexes(apps, schema_editor):
    triggers.look_along_indexes(schema_editor)


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0005_version_0_6'),
        ('mirror', '0004_version_0_7'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='verification',
            name='was_in_database',
            field=models.BooleanField(db_default=False, default=False, help_text='The database hashed the chain, and Countersign a sample of it; else Countersign did.'),
        ),
        Together(
            migrations.RemoveIndex(
                model_name='tenure',
                name='tenure_by_model',
            ),
            migrations.RemoveIndex(
                model_name='tenure',
                name='tenure_by_start',
            ),
            migrations.AddIndex(
                model_name='auditevent',
                index=models.Index(fields=['target_name', '-sequence'], name='event_by_target'),
            ),
            migrations.AddIndex(
                model_name='auditevent',
                index=models.Index(condition=models.Q(('action__in', ['version.promoted', 'delivery.halfway', 'version.restored', 'tenure.found', 'incident.opened', 'incident.resolved', 'request.glass_broken'])), fields=['sequence', 'action', 'at', 'model_name', 'version_number', 'target_name', 'request'], name='event_of_changes'),
            ),
            migrations.AddIndex(
                model_name='promotionrequest',
                index=models.Index(condition=models.Q(('kind', 'break_glass')), fields=['afterwards_verdict'], name='request_of_an_emergency'),
            ),
            migrations.AddIndex(
                model_name='promotionrequest',
                index=models.Index(condition=models.Q(('kind__in', ['rollback', 'break_glass'])), fields=['kind', 'id'], name='request_urgent'),
            ),
            migrations.AddIndex(
                model_name='tenure',
                index=models.Index(fields=['model_name', 'target', 'started_at', 'version_number'], name='tenure_by_model'),
            ),
            migrations.AddIndex(
                model_name='tenure',
                index=models.Index(fields=['started_at', 'origin', 'target', 'place'], name='tenure_by_start'),
            ),
            migrations.AddIndex(
                model_name='tenure',
                index=models.Index(fields=['end_sequence'], name='tenure_by_end_event'),
            ),
            migrations.AddIndex(
                model_name='tenure',
                index=models.Index(condition=models.Q(('ended_at', None)), fields=['files_checked_at', 'id'], name='tenure_files_due'),
            ),
            migrations.AddIndex(
                model_name='tenure',
                index=models.Index(condition=models.Q(('ended_at', None)), fields=['model_name', 'target', 'origin', 'request', 'started_at'], name='tenure_running'),
            ),
        ),
        migrations.RunPython(look_along_indexes, migrations.RunPython.noop, elidable=False),
    ]
