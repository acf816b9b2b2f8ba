"""What 0.5.0 added."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.models import F


def told_before(apps, schema_editor):
    """Nobody begins with a bell full of what they have long had by mail."""
    apps.get_model("approvals.Notification").objects.update(read_at=F("created_at"))


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0003_version_0_4'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ModelMetrics',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('model_name', models.CharField(max_length=256, unique=True)),
                ('version', models.PositiveIntegerField(default=1, help_text='Rises with every change.')),
                ('metrics', models.JSONField(default=list, help_text='The most important first: see MetricRule.as_json.')),
            ],
            options={
                'verbose_name_plural': 'model metrics',
            },
        ),
        migrations.CreateModel(
            name='Nomination',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('group', models.CharField(blank=True, help_text='Its name, instead of a person.', max_length=150)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name='Subscription',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('is_muted', models.BooleanField(help_text='Else it is subscribed to.')),
                ('changed_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.AddField(
            model_name='notification',
            name='read_at',
            field=models.DateTimeField(blank=True, help_text='On a page; whether the mail was read is not known.', null=True),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='action',
            field=models.CharField(choices=[('request.created', 'Promotion requested'), ('request.resubmitted', 'Request submitted again'), ('request.withdrawn', 'Request withdrawn'), ('request.expired', 'Request expired'), ('request.commented', 'Comment'), ('request.checked', 'Checks finished'), ('request.reopened', 'Back to review: the evidence changed'), ('request.escalated', 'Escalated'), ('request.reviewers_nominated', 'Reviewer asked by name'), ('check.answered', 'External check answered'), ('check.overridden', 'Failed check overridden'), ('finding.closed', 'Finding closed'), ('review.approved', 'Approved by a reviewer'), ('review.rejected', 'Rejected by a reviewer'), ('review.changes_requested', 'Changes requested by a reviewer'), ('review.undone', 'Verdict undone by its reviewer'), ('request.approved', 'All approvals given'), ('delivery.retried', 'Delivery retried'), ('delivery.failed', 'Delivery failed'), ('delivery.halfway', 'Partly delivered'), ('delivery.ended', 'Partial delivery resolved'), ('delivery.held', 'Delivery held by a freeze'), ('version.promoted', 'Version promoted'), ('version.replaced', 'Version replaced'), ('version.restored', 'Last approved version restored'), ('tenure.found', 'Found in place before Countersign'), ('incident.opened', 'Change outside Countersign found'), ('incident.resolved', 'Incident resolved'), ('request.glass_broken', 'Emergency promotion'), ('request.reviewed_afterwards', 'Emergency promotion reviewed'), ('request.afterwards_overdue', 'Review of an emergency promotion overdue'), ('probation.started', 'Probation began'), ('probation.ended', 'Probation ended'), ('health.reported', 'Health reported'), ('target.created', 'Target added'), ('target.changed', 'Target changed'), ('target.retired', 'Target retired'), ('policy.created', 'Policy added'), ('policy.changed', 'Policy changed'), ('policy.retired', 'Policy retired'), ('policy.reordered', 'Policies reordered'), ('metrics.changed', 'Metrics of record changed'), ('freeze.created', 'Freeze added'), ('freeze.changed', 'Freeze changed'), ('freeze.retired', 'Freeze retired'), ('person.invited', 'Person invited'), ('person.joined', 'Person signed up'), ('person.changed', 'Roles changed'), ('person.identified', 'MLflow names or account type changed'), ('person.deactivated', 'Person deactivated'), ('person.reactivated', 'Person reactivated'), ('person.renamed', 'Name or e-mail address changed'), ('person.pseudonymised', 'Person pseudonymised'), ('group.created', 'Group added'), ('history.exported', 'History exported'), ('history.imported', 'Earlier history imported'), ('evidence.exported', 'Audit evidence exported'), ('rows.sealed', 'Rows sealed'), ('mirror.deletions_confirmed', 'Deletions in MLflow confirmed'), ('registry.accepted', 'Another registry accepted'), ('ledger.cut_acknowledged', 'Cut-off ledger acknowledged'), ('checkpoint.key_changed', 'Key of the checkpoints changed')], max_length=40),
        ),
        migrations.AlterField(
            model_name='freezewindow',
            name='model_pattern',
            field=models.CharField(default='*', help_text="A model's name, or a pattern: * is any text, ? any one character. Capital letters matter.", max_length=256, validators=[django.core.validators.RegexValidator('\\S', 'Enter a model name, or a pattern such as churn_*.')]),
        ),
        migrations.AlterField(
            model_name='incident',
            name='resolution',
            field=models.CharField(blank=True, choices=[('explained', 'Resolved with a reason'), ('put_back', 'Reverted by Countersign'), ('reviewed', 'Approved afterwards'), ('undone', 'Changed back in MLflow'), ('superseded', 'Replaced by a promotion')], max_length=20),
        ),
        migrations.AlterField(
            model_name='incident',
            name='response',
            field=models.CharField(choices=[('report', 'Reported'), ('put_back', 'Reverted'), ('review', 'Reviewed afterwards')], max_length=20),
        ),
        migrations.AlterField(
            model_name='notification',
            name='kind',
            field=models.CharField(choices=[('waits', 'A request needs your review'), ('asked', 'You are asked by name to review'), ('reminder', 'A reminder: a request still waits, or expires soon'), ('escalated', 'A request was escalated to your group'), ('mentioned', 'You are mentioned in a comment'), ('commented', 'A comment on a request that you take part in'), ('decided', 'A decision on a request that you take part in'), ('voided', 'The evidence changed, and your approval no longer counts'), ('blocked', 'Checks block your request'), ('delivered', 'A version reached its target in MLflow'), ('failed', 'A delivery failed, or waits for a freeze'), ('expired', 'A request expired'), ('withdrawn', 'A request was withdrawn'), ('break_glass', 'An emergency promotion, or its overdue review'), ('rolled_back', 'A target was rolled back'), ('probation', 'A promotion on probation: begun, confirmed or ended'), ('incident', 'A change outside Countersign was found or resolved'), ('finding', 'A finding that you own: new, due, overdue or closed')], max_length=20),
        ),
        migrations.AlterField(
            model_name='notificationchoice',
            name='how',
            field=models.CharField(choices=[('now', 'Immediately'), ('digest', 'In the daily digest'), ('never', 'Never')], max_length=10),
        ),
        migrations.AlterField(
            model_name='notificationchoice',
            name='kind',
            field=models.CharField(choices=[('waits', 'A request needs your review'), ('asked', 'You are asked by name to review'), ('reminder', 'A reminder: a request still waits, or expires soon'), ('escalated', 'A request was escalated to your group'), ('mentioned', 'You are mentioned in a comment'), ('commented', 'A comment on a request that you take part in'), ('decided', 'A decision on a request that you take part in'), ('voided', 'The evidence changed, and your approval no longer counts'), ('blocked', 'Checks block your request'), ('delivered', 'A version reached its target in MLflow'), ('failed', 'A delivery failed, or waits for a freeze'), ('expired', 'A request expired'), ('withdrawn', 'A request was withdrawn'), ('break_glass', 'An emergency promotion, or its overdue review'), ('rolled_back', 'A target was rolled back'), ('probation', 'A promotion on probation: begun, confirmed or ended'), ('incident', 'A change outside Countersign was found or resolved'), ('finding', 'A finding that you own: new, due, overdue or closed')], max_length=20),
        ),
        migrations.AlterField(
            model_name='outboxentry',
            name='available_at',
            field=models.DateTimeField(default=django.utils.timezone.now, help_text='Not before: it can be undone, or a pause.'),
        ),
        migrations.AlterField(
            model_name='outboxentry',
            name='ending',
            field=models.CharField(blank=True, choices=[('accept', 'Accept the partial delivery'), ('revert', 'Undo the partial delivery')], help_text='What a person decided of the half.', max_length=10),
        ),
        migrations.AlterField(
            model_name='outboxentry',
            name='outcome',
            field=models.CharField(blank=True, choices=[('applied', 'Applied'), ('failed', 'Failed'), ('reopened', 'Reopened'), ('undone', 'Undone')], max_length=20),
        ),
        migrations.AlterField(
            model_name='policy',
            name='model_pattern',
            field=models.CharField(default='*', help_text="A model's name, or a pattern: * is any text, ? any one character. Capital letters matter.", max_length=256, validators=[django.core.validators.RegexValidator('\\S', 'Enter a model name, or a pattern such as churn_*.')]),
        ),
        migrations.AlterField(
            model_name='promotionrequest',
            name='kind',
            field=models.CharField(choices=[('promotion', 'Promotion'), ('rollback', 'Rollback'), ('break_glass', 'Emergency promotion'), ('retroactive', 'Review afterwards')], default='promotion', max_length=20),
        ),
        migrations.AlterField(
            model_name='tenure',
            name='end',
            field=models.CharField(blank=True, choices=[('replaced', 'Replaced by a promotion'), ('restored', 'Reverted by Countersign'), ('outside', 'Changed outside Countersign'), ('deleted', 'Deleted in MLflow'), ('renamed', 'The model was renamed in MLflow'), ('retired', 'The target is no longer watched'), ('imported', 'Imported from earlier records')], max_length=20),
        ),
        migrations.AlterField(
            model_name='tenure',
            name='origin',
            field=models.CharField(choices=[('delivery', 'Promoted through Countersign'), ('restored', 'Reverted by Countersign'), ('found', 'Held before Countersign, approver unknown'), ('outside', 'Changed outside Countersign'), ('imported', 'Imported from earlier records')], max_length=20),
        ),
        migrations.AddIndex(
            model_name='notification',
            index=models.Index(condition=models.Q(('read_at', None)), fields=['recipient'], name='notification_unread'),
        ),
        migrations.AddField(
            model_name='nomination',
            name='by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='nomination',
            name='person',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='nominations', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='nomination',
            name='request',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='nominations', to='approvals.promotionrequest'),
        ),
        migrations.AddField(
            model_name='subscription',
            name='person',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='subscription',
            name='request',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='subscriptions', to='approvals.promotionrequest'),
        ),
        migrations.AddConstraint(
            model_name='nomination',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('group', ''), ('person__isnull', False)), models.Q(('person', None), models.Q(('group', ''), _negated=True)), _connector='OR'), name='a_nomination_is_of_a_person_or_a_group'),
        ),
        migrations.AddConstraint(
            model_name='nomination',
            constraint=models.UniqueConstraint(condition=models.Q(('person__isnull', False)), fields=('request', 'person'), name='one_nomination_per_person'),
        ),
        migrations.AddConstraint(
            model_name='nomination',
            constraint=models.UniqueConstraint(condition=models.Q(('group', ''), _negated=True), fields=('request', 'group'), name='one_nomination_per_group'),
        ),
        migrations.AddConstraint(
            model_name='subscription',
            constraint=models.UniqueConstraint(fields=('request', 'person'), name='one_subscription_per_person_and_request'),
        ),
        migrations.RunPython(told_before, migrations.RunPython.noop, elidable=True),
    ]
