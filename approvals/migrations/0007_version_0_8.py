"""What 0.8.0 adds."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0006_version_0_7'),
    ]

    operations = [
        migrations.AlterField(
            model_name='auditevent',
            name='action',
            field=models.CharField(choices=[('request.created', 'Promotion requested'), ('request.resubmitted', 'Request submitted again'), ('request.withdrawn', 'Request withdrawn'), ('request.expired', 'Request expired'), ('request.commented', 'Comment'), ('request.checked', 'Checks finished'), ('request.reopened', 'Back to review: the evidence changed'), ('request.escalated', 'Escalated'), ('request.reviewers_nominated', 'Reviewer asked by name'), ('request.nomination_taken_back', 'Reviewer no longer asked by name'), ('check.answered', 'External check answered'), ('check.overridden', 'Failed check overridden'), ('finding.closed', 'Finding closed'), ('review.approved', 'Approved by a reviewer'), ('review.rejected', 'Rejected by a reviewer'), ('review.changes_requested', 'Changes requested by a reviewer'), ('review.undone', 'Verdict undone by its reviewer'), ('request.approved', 'All approvals given'), ('delivery.retried', 'Delivery retried'), ('delivery.failed', 'Delivery failed'), ('delivery.halfway', 'Partly delivered'), ('delivery.ended', 'Partial delivery resolved'), ('delivery.held', 'Delivery held by a freeze'), ('version.promoted', 'Version promoted'), ('version.replaced', 'Version replaced'), ('version.restored', 'Last approved version restored'), ('tenure.found', 'Found in place before Countersign'), ('incident.opened', 'Change outside Countersign found'), ('incident.resolved', 'Incident resolved'), ('gate.refused', 'Refused in MLflow'), ('gate.passed', 'Let through in MLflow'), ('request.glass_broken', 'Emergency promotion'), ('request.reviewed_afterwards', 'Emergency promotion reviewed'), ('request.afterwards_overdue', 'Review of an emergency promotion overdue'), ('probation.started', 'Probation began'), ('probation.ended', 'Probation ended'), ('health.reported', 'Health reported'), ('target.created', 'Target added'), ('target.changed', 'Target changed'), ('target.retired', 'Target retired'), ('policy.created', 'Policy added'), ('policy.changed', 'Policy changed'), ('policy.retired', 'Policy retired'), ('policy.reordered', 'Policies reordered'), ('metrics.changed', 'Metrics of record changed'), ('freeze.created', 'Freeze added'), ('freeze.changed', 'Freeze changed'), ('freeze.retired', 'Freeze retired'), ('webhook.created', 'Webhook added'), ('webhook.changed', 'Webhook changed'), ('webhook.rotated', 'Secret of a webhook rotated'), ('webhook.paused', 'Webhook paused'), ('webhook.resumed', 'Webhook resumed'), ('webhook.replayed', 'Webhook replayed'), ('webhook.retired', 'Webhook deleted'), ('person.invited', 'Person invited'), ('person.joined', 'Person signed up'), ('person.changed', 'Roles changed'), ('person.identified', 'MLflow names or account type changed'), ('person.deactivated', 'Person deactivated'), ('person.reactivated', 'Person reactivated'), ('person.renamed', 'Name or e-mail address changed'), ('person.pseudonymised', 'Person pseudonymised'), ('person.service_account_made', 'Service account added'), ('token.made', 'API token made'), ('token.revoked', 'API token revoked'), ('token.exchanged', 'API token given to a pipeline'), ('token.publisher_added', 'Trusted publisher added'), ('token.publisher_retired', 'Trusted publisher retired'), ('group.created', 'Group added'), ('history.exported', 'History exported'), ('history.imported', 'Earlier history imported'), ('evidence.exported', 'Audit evidence exported'), ('rows.sealed', 'Rows sealed'), ('mirror.deletions_confirmed', 'Deletions in MLflow confirmed'), ('registry.accepted', 'Another registry accepted'), ('ledger.cut_acknowledged', 'Cut-off ledger acknowledged'), ('checkpoint.key_changed', 'Key of the checkpoints changed')], max_length=40),
        ),
        migrations.AlterField(
            model_name='notification',
            name='kind',
            field=models.CharField(choices=[('waits', 'A request needs your review'), ('asked', 'You are asked by name to review'), ('reminder', 'A reminder: a request still waits, or expires soon'), ('escalated', 'A request was escalated to your group'), ('mentioned', 'You are mentioned in a comment'), ('commented', 'A comment on a request that you take part in'), ('decided', 'A decision on a request that you take part in'), ('voided', 'The evidence changed, and your approval no longer counts'), ('blocked', 'Checks block your request'), ('delivered', 'A version reached its target in MLflow'), ('failed', 'A delivery failed, or waits for a freeze'), ('expired', 'A request expired'), ('withdrawn', 'A request was withdrawn'), ('break_glass', 'An emergency promotion, or its overdue review'), ('rolled_back', 'A target was rolled back'), ('probation', 'A promotion on probation: begun, confirmed or ended'), ('incident', 'A change outside Countersign was found or resolved'), ('finding', 'A finding that you own: new, due, overdue or closed'), ('refused', 'MLflow refused a change that you tried there'), ('webhook', 'A webhook is paused because its receiver fails')], max_length=20),
        ),
        migrations.AlterField(
            model_name='notificationchoice',
            name='kind',
            field=models.CharField(choices=[('waits', 'A request needs your review'), ('asked', 'You are asked by name to review'), ('reminder', 'A reminder: a request still waits, or expires soon'), ('escalated', 'A request was escalated to your group'), ('mentioned', 'You are mentioned in a comment'), ('commented', 'A comment on a request that you take part in'), ('decided', 'A decision on a request that you take part in'), ('voided', 'The evidence changed, and your approval no longer counts'), ('blocked', 'Checks block your request'), ('delivered', 'A version reached its target in MLflow'), ('failed', 'A delivery failed, or waits for a freeze'), ('expired', 'A request expired'), ('withdrawn', 'A request was withdrawn'), ('break_glass', 'An emergency promotion, or its overdue review'), ('rolled_back', 'A target was rolled back'), ('probation', 'A promotion on probation: begun, confirmed or ended'), ('incident', 'A change outside Countersign was found or resolved'), ('finding', 'A finding that you own: new, due, overdue or closed'), ('refused', 'MLflow refused a change that you tried there'), ('webhook', 'A webhook is paused because its receiver fails')], max_length=20),
        ),
        migrations.CreateModel(
            name='Webhook',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=80, validators=[django.core.validators.RegexValidator('\\S', 'Give the webhook a name.')])),
                ('url', models.CharField(help_text='May be a secret, as those of chats are: shown to who edits it.', max_length=2000)),
                ('types', models.JSONField(default=list, help_text='Of WEBHOOKS: what it is sent.')),
                ('model_pattern', models.CharField(default='*', max_length=256, validators=[django.core.validators.RegexValidator('\\S', 'Enter a model name, or a pattern such as churn_*.')])),
                ('databricks_events', models.JSONField(blank=True, db_default=models.Value([], models.JSONField()), default=list, help_text="Of a Databricks client: what it is sent, in Databricks' format. Empty: Standard Webhooks.")),
                ('given_secret', models.TextField(blank=True, db_default='', default='', help_text="What a Databricks client gave to sign with, encrypted under the installation's secret key.")),
                ('key', models.UUIDField(default=uuid.uuid4, help_text='What its secrets are derived from.', unique=True)),
                ('secret_number', models.PositiveIntegerField(default=1)),
                ('previous_until', models.DateTimeField(blank=True, help_text='Until then the secret before signs too.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('paused_at', models.DateTimeField(blank=True, null=True)),
                ('paused_because', models.CharField(blank=True, max_length=500)),
                ('retired_at', models.DateTimeField(blank=True, null=True)),
                ('done', models.BigIntegerField(default=0, help_text='Position of the last message that was taken or not wanted.')),
                ('attempts', models.PositiveIntegerField(default=0, help_text='Failed, of the message that is next.')),
                ('failing_since', models.DateTimeField(blank=True, null=True)),
                ('next_attempt_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('claimed_by', models.CharField(blank=True, max_length=120)),
                ('lease_expires_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'permissions': [('manage_webhooks', 'May manage webhooks')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('retired_at', None)), fields=('name',), name='one_webhook_of_a_name', violation_error_message='There is already a webhook with this name.')],
            },
        ),
        migrations.CreateModel(
            name='WebhookAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('message_id', models.CharField(help_text='webhook-id: the same whenever the message is sent.', max_length=80)),
                ('type', models.CharField(max_length=40)),
                ('position', models.BigIntegerField(blank=True, help_text='None: a test.', null=True)),
                ('number', models.PositiveIntegerField(default=1, help_text='Of the attempts on this message; 0: asked for.')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('at', models.DateTimeField(blank=True, help_text='When it was sent.', null=True)),
                ('is_taken', models.BooleanField(default=False)),
                ('status', models.PositiveSmallIntegerField(blank=True, help_text='Of the answer over HTTP.', null=True)),
                ('milliseconds', models.PositiveIntegerField(blank=True, null=True)),
                ('problem', models.CharField(blank=True, max_length=500)),
                ('answer', models.CharField(blank=True, help_text='How the answer begins.', max_length=200)),
                ('lease_expires_at', models.DateTimeField(blank=True, null=True)),
                ('webhook', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='log', to='approvals.webhook')),
            ],
            options={
                'indexes': [models.Index(fields=['webhook', '-id'], name='webhook_log'), models.Index(fields=['created_at'], name='webhook_log_by_time'), models.Index(condition=models.Q(('at', None)), fields=['id'], name='webhook_asked')],
            },
        ),
    ]
