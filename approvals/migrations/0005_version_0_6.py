"""What 0.6.0 adds."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from approvals.models import defaults


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0004_version_0_5'),
        ('mirror', '0002_version_0_4'),
    ]

    operations = [
        migrations.AddField(
            model_name='target',
            name='enforcement',
            field=models.CharField(choices=[('off', 'Off: a direct change in MLflow is found afterwards'), ('observe', 'Observe: it is let through and recorded'), ('enforce', 'Enforce: MLflow refuses it')], default='off', help_text="Needs Countersign's gate in the MLflow server.", max_length=10, verbose_name='enforcement in MLflow'),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='action',
            field=models.CharField(choices=[('request.created', 'Promotion requested'), ('request.resubmitted', 'Request submitted again'), ('request.withdrawn', 'Request withdrawn'), ('request.expired', 'Request expired'), ('request.commented', 'Comment'), ('request.checked', 'Checks finished'), ('request.reopened', 'Back to review: the evidence changed'), ('request.escalated', 'Escalated'), ('request.reviewers_nominated', 'Reviewer asked by name'), ('check.answered', 'External check answered'), ('check.overridden', 'Failed check overridden'), ('finding.closed', 'Finding closed'), ('review.approved', 'Approved by a reviewer'), ('review.rejected', 'Rejected by a reviewer'), ('review.changes_requested', 'Changes requested by a reviewer'), ('review.undone', 'Verdict undone by its reviewer'), ('request.approved', 'All approvals given'), ('delivery.retried', 'Delivery retried'), ('delivery.failed', 'Delivery failed'), ('delivery.halfway', 'Partly delivered'), ('delivery.ended', 'Partial delivery resolved'), ('delivery.held', 'Delivery held by a freeze'), ('version.promoted', 'Version promoted'), ('version.replaced', 'Version replaced'), ('version.restored', 'Last approved version restored'), ('tenure.found', 'Found in place before Countersign'), ('incident.opened', 'Change outside Countersign found'), ('incident.resolved', 'Incident resolved'), ('gate.refused', 'Refused in MLflow'), ('gate.passed', 'Let through in MLflow'), ('request.glass_broken', 'Emergency promotion'), ('request.reviewed_afterwards', 'Emergency promotion reviewed'), ('request.afterwards_overdue', 'Review of an emergency promotion overdue'), ('probation.started', 'Probation began'), ('probation.ended', 'Probation ended'), ('health.reported', 'Health reported'), ('target.created', 'Target added'), ('target.changed', 'Target changed'), ('target.retired', 'Target retired'), ('policy.created', 'Policy added'), ('policy.changed', 'Policy changed'), ('policy.retired', 'Policy retired'), ('policy.reordered', 'Policies reordered'), ('metrics.changed', 'Metrics of record changed'), ('freeze.created', 'Freeze added'), ('freeze.changed', 'Freeze changed'), ('freeze.retired', 'Freeze retired'), ('person.invited', 'Person invited'), ('person.joined', 'Person signed up'), ('person.changed', 'Roles changed'), ('person.identified', 'MLflow names or account type changed'), ('person.deactivated', 'Person deactivated'), ('person.reactivated', 'Person reactivated'), ('person.renamed', 'Name or e-mail address changed'), ('person.pseudonymised', 'Person pseudonymised'), ('group.created', 'Group added'), ('history.exported', 'History exported'), ('history.imported', 'Earlier history imported'), ('evidence.exported', 'Audit evidence exported'), ('rows.sealed', 'Rows sealed'), ('mirror.deletions_confirmed', 'Deletions in MLflow confirmed'), ('registry.accepted', 'Another registry accepted'), ('ledger.cut_acknowledged', 'Cut-off ledger acknowledged'), ('checkpoint.key_changed', 'Key of the checkpoints changed')], max_length=40),
        ),
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
            name='SealedFolder',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.TextField(help_text='Of the version; another one is another version under the same number.')),
                ('folder', models.TextField(blank=True, help_text='`1/models/m-7e81/artifacts`; empty: MLflow does not serve them.')),
                ('version', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='sealed_folder', to='mirror.modelversion')),
            ],
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
        migrations.RunPython(defaults.enforce_production, migrations.RunPython.noop),
    ]
