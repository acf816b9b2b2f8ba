"""What 0.6.0 adds."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from approvals.models import defaults


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0004_version_0_5'),
        ('mirror', '0003_version_0_6'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
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
        ),
        migrations.CreateModel(
            name='Refusal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(help_text='Of who, what and where; without the secret it names no one.', max_length=64)),
                ('times', models.PositiveIntegerField(default=1)),
                ('last_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('messages', models.JSONField(default=list, help_text='Ids of what MLflow sent: the same one is counted once.')),
            ],
        ),
        migrations.CreateModel(
            name='SealedFolder',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.TextField(help_text='Of the version; another one is another version under the same number.')),
                ('folder', models.TextField(blank=True, help_text='`1/models/m-7e81/artifacts`; empty: MLflow does not serve them.')),
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
        migrations.AlterField(
            model_name='auditevent',
            name='action',
            field=models.CharField(choices=[('request.created', 'Promotion requested'), ('request.resubmitted', 'Request submitted again'), ('request.withdrawn', 'Request withdrawn'), ('request.expired', 'Request expired'), ('request.commented', 'Comment'), ('request.checked', 'Checks finished'), ('request.reopened', 'Back to review: the evidence changed'), ('request.escalated', 'Escalated'), ('request.reviewers_nominated', 'Reviewer asked by name'), ('request.nomination_taken_back', 'Reviewer no longer asked by name'), ('check.answered', 'External check answered'), ('check.overridden', 'Failed check overridden'), ('finding.closed', 'Finding closed'), ('review.approved', 'Approved by a reviewer'), ('review.rejected', 'Rejected by a reviewer'), ('review.changes_requested', 'Changes requested by a reviewer'), ('review.undone', 'Verdict undone by its reviewer'), ('request.approved', 'All approvals given'), ('delivery.retried', 'Delivery retried'), ('delivery.failed', 'Delivery failed'), ('delivery.halfway', 'Partly delivered'), ('delivery.ended', 'Partial delivery resolved'), ('delivery.held', 'Delivery held by a freeze'), ('version.promoted', 'Version promoted'), ('version.replaced', 'Version replaced'), ('version.restored', 'Last approved version restored'), ('tenure.found', 'Found in place before Countersign'), ('incident.opened', 'Change outside Countersign found'), ('incident.resolved', 'Incident resolved'), ('gate.refused', 'Refused in MLflow'), ('gate.passed', 'Let through in MLflow'), ('request.glass_broken', 'Emergency promotion'), ('request.reviewed_afterwards', 'Emergency promotion reviewed'), ('request.afterwards_overdue', 'Review of an emergency promotion overdue'), ('probation.started', 'Probation began'), ('probation.ended', 'Probation ended'), ('health.reported', 'Health reported'), ('target.created', 'Target added'), ('target.changed', 'Target changed'), ('target.retired', 'Target retired'), ('policy.created', 'Policy added'), ('policy.changed', 'Policy changed'), ('policy.retired', 'Policy retired'), ('policy.reordered', 'Policies reordered'), ('metrics.changed', 'Metrics of record changed'), ('freeze.created', 'Freeze added'), ('freeze.changed', 'Freeze changed'), ('freeze.retired', 'Freeze retired'), ('person.invited', 'Person invited'), ('person.joined', 'Person signed up'), ('person.changed', 'Roles changed'), ('person.identified', 'MLflow names or account type changed'), ('person.deactivated', 'Person deactivated'), ('person.reactivated', 'Person reactivated'), ('person.renamed', 'Name or e-mail address changed'), ('person.pseudonymised', 'Person pseudonymised'), ('group.created', 'Group added'), ('history.exported', 'History exported'), ('history.imported', 'Earlier history imported'), ('evidence.exported', 'Audit evidence exported'), ('rows.sealed', 'Rows sealed'), ('mirror.deletions_confirmed', 'Deletions in MLflow confirmed'), ('registry.accepted', 'Another registry accepted'), ('ledger.cut_acknowledged', 'Cut-off ledger acknowledged'), ('checkpoint.key_changed', 'Key of the checkpoints changed')], max_length=40),
        ),
        migrations.AlterField(
            model_name='checkresult',
            name='replaced_at',
            field=models.DateTimeField(blank=True, help_text='Empty: it is what applies now.', null=True),
        ),
        migrations.AlterField(
            model_name='freezewindow',
            name='name',
            field=models.CharField(help_text='Is on every request that it holds: Christmas, Weekend, …', max_length=80, validators=[django.core.validators.RegexValidator('\\S', 'Give the freeze a name.')]),
        ),
        migrations.AlterField(
            model_name='incident',
            name='kind',
            field=models.CharField(choices=[('moved', 'Stage or alias changed'), ('deleted', 'Version deleted'), ('exchanged', 'Another version under the same number'), ('renamed', 'Model renamed'), ('files', 'Model files changed'), ('prompt', 'Marked as a prompt'), ('hidden', "Hidden from MLflow's search"), ('unenforced', 'Gate not enforced by MLflow'), ('opened', 'Gate opened in MLflow')], max_length=20),
        ),
        migrations.AlterField(
            model_name='incident',
            name='opened_sequence',
            field=models.BigIntegerField(help_text='Number of the event that records it.'),
        ),
        migrations.AlterField(
            model_name='notification',
            name='key',
            field=models.CharField(help_text='Of what it follows from; no one is notified twice.', max_length=200, unique=True),
        ),
        migrations.AlterField(
            model_name='notification',
            name='kind',
            field=models.CharField(choices=[('waits', 'A request needs your review'), ('asked', 'You are asked by name to review'), ('reminder', 'A reminder: a request still waits, or expires soon'), ('escalated', 'A request was escalated to your group'), ('mentioned', 'You are mentioned in a comment'), ('commented', 'A comment on a request that you take part in'), ('decided', 'A decision on a request that you take part in'), ('voided', 'The evidence changed, and your approval no longer counts'), ('blocked', 'Checks block your request'), ('delivered', 'A version reached its target in MLflow'), ('failed', 'A delivery failed, or waits for a freeze'), ('expired', 'A request expired'), ('withdrawn', 'A request was withdrawn'), ('break_glass', 'An emergency promotion, or its overdue review'), ('rolled_back', 'A target was rolled back'), ('probation', 'A promotion on probation: begun, confirmed or ended'), ('incident', 'A change outside Countersign was found or resolved'), ('finding', 'A finding that you own: new, due, overdue or closed'), ('refused', 'MLflow refused a change that you tried there')], max_length=20),
        ),
        migrations.AlterField(
            model_name='notification',
            name='said',
            field=models.TextField(blank=True, help_text='What a person said with it.'),
        ),
        migrations.AlterField(
            model_name='notificationchoice',
            name='kind',
            field=models.CharField(choices=[('waits', 'A request needs your review'), ('asked', 'You are asked by name to review'), ('reminder', 'A reminder: a request still waits, or expires soon'), ('escalated', 'A request was escalated to your group'), ('mentioned', 'You are mentioned in a comment'), ('commented', 'A comment on a request that you take part in'), ('decided', 'A decision on a request that you take part in'), ('voided', 'The evidence changed, and your approval no longer counts'), ('blocked', 'Checks block your request'), ('delivered', 'A version reached its target in MLflow'), ('failed', 'A delivery failed, or waits for a freeze'), ('expired', 'A request expired'), ('withdrawn', 'A request was withdrawn'), ('break_glass', 'An emergency promotion, or its overdue review'), ('rolled_back', 'A target was rolled back'), ('probation', 'A promotion on probation: begun, confirmed or ended'), ('incident', 'A change outside Countersign was found or resolved'), ('finding', 'A finding that you own: new, due, overdue or closed'), ('refused', 'MLflow refused a change that you tried there')], max_length=20),
        ),
        migrations.AlterField(
            model_name='outboxentry',
            name='half',
            field=models.JSONField(blank=True, help_text='Partly delivered: the event of each place reached, and what is missing.', null=True),
        ),
        migrations.AlterField(
            model_name='outboxentry',
            name='is_at_rest',
            field=models.BooleanField(default=False, help_text='Partly delivered, with tenures as MLflow has it: no attempt is under way.'),
        ),
        migrations.AlterField(
            model_name='outboxentry',
            name='is_urgent',
            field=models.BooleanField(default=False, help_text='No freeze holds it: a rollback or an emergency promotion.'),
        ),
        migrations.AlterField(
            model_name='policy',
            name='version',
            field=models.PositiveIntegerField(default=1, help_text='Number of the version that applies now.'),
        ),
        migrations.AlterField(
            model_name='promotionrequest',
            name='afterwards_due_at',
            field=models.DateTimeField(blank=True, help_text='Of an emergency promotion: to be reviewed until then.', null=True),
        ),
        migrations.AlterField(
            model_name='promotionrequest',
            name='correlation_id',
            field=models.UUIDField(help_text='Is on every event and log line of this request.'),
        ),
        migrations.AlterField(
            model_name='tenure',
            name='end_sequence',
            field=models.BigIntegerField(blank=True, help_text='Number of the event that records its end.', null=True),
        ),
        migrations.AlterField(
            model_name='tenure',
            name='start_sequence',
            field=models.BigIntegerField(blank=True, help_text='Number of the event that records it.', null=True),
        ),
        migrations.AddConstraint(
            model_name='nomination',
            constraint=models.UniqueConstraint(condition=models.Q(('person__isnull', False), ('taken_back_at', None)), fields=('request', 'person'), name='one_nomination_per_person'),
        ),
        migrations.AddConstraint(
            model_name='nomination',
            constraint=models.UniqueConstraint(condition=models.Q(models.Q(('group', ''), _negated=True), ('taken_back_at', None)), fields=('request', 'group'), name='one_nomination_per_group'),
        ),
        migrations.AddConstraint(
            model_name='policyfeed',
            constraint=models.CheckConstraint(condition=models.Q(('pk', 1)), name='there_is_one_policy_feed'),
        ),
        migrations.AddField(
            model_name='refusal',
            name='event',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='refusal', to='approvals.auditevent'),
        ),
        migrations.AddField(
            model_name='sealedfolder',
            name='version',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='sealed_folder', to='mirror.modelversion'),
        ),
        migrations.AddIndex(
            model_name='refusal',
            index=models.Index(fields=['key', '-last_at'], name='refusal_by_key'),
        ),
        migrations.RunPython(defaults.enforce_production, migrations.RunPython.noop),
    ]
