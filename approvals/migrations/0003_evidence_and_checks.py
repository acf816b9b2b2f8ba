import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0002_ledger_and_defaults'),
        ('mirror', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Assessment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('is_owed', models.BooleanField(default=True)),
                ('due_at', models.DateTimeField(default=django.utils.timezone.now, help_text='Not before; moves on with the backoff.')),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('claimed_by', models.CharField(blank=True, max_length=120)),
                ('lease_expires_at', models.DateTimeField(blank=True, null=True)),
                ('waiting_since', models.DateTimeField(blank=True, help_text='First time that it could not be done.', null=True)),
                ('last_error', models.TextField(blank=True)),
                ('concluded_at', models.DateTimeField(blank=True, help_text='When the checks last came to an end.', null=True)),
            ],
        ),
        migrations.CreateModel(
            name='CheckResult',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(help_text='Unique within a rule: kind and what it looks at.', max_length=300)),
                ('position', models.PositiveSmallIntegerField(default=0)),
                ('kind', models.CharField(max_length=40)),
                ('title', models.CharField(max_length=300)),
                ('effect', models.CharField(choices=[('block', 'Blocks'), ('warn', 'Warns'), ('inform', 'Informs')], max_length=10)),
                ('outcome', models.CharField(choices=[('pass', 'Passed'), ('warn', 'Warning'), ('fail', 'Failed'), ('waiting', 'Waiting for an answer')], max_length=10)),
                ('reason', models.TextField()),
                ('terms', models.JSONField(default=dict, help_text="The check's settings, as the rule states them.")),
                ('fingerprint', models.CharField(help_text='Of the evidence it looked at.', max_length=64)),
                ('checked_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('replaced_at', models.DateTimeField(blank=True, help_text='Empty: it is what stands now.', null=True)),
                ('overridden_at', models.DateTimeField(blank=True, null=True)),
                ('override_reason', models.TextField(blank=True, max_length=4000)),
                ('token', models.CharField(blank=True, help_text="Names the answer's address; random.", max_length=64)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('next_attempt_at', models.DateTimeField(blank=True, null=True)),
                ('deadline_at', models.DateTimeField(blank=True, null=True)),
                ('called_at', models.DateTimeField(blank=True, null=True)),
                ('answered_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Finding',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('text', models.TextField(max_length=2000)),
                ('due_on', models.DateField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('closing_note', models.TextField(blank=True, max_length=2000)),
            ],
        ),
        migrations.CreateModel(
            name='PolicyVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('terms', models.JSONField()),
                ('saved_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('saved_as', models.CharField(help_text='Survives the person; the command line has no row.', max_length=400)),
            ],
        ),
        migrations.AlterModelOptions(
            name='promotionrequest',
            options={'permissions': [('request_promotion', 'May ask for promotions'), ('review_promotion', "May approve or reject other people's requests"), ('retry_delivery', 'May retry a failed delivery'), ('comment_on_request', 'May take part in the discussion'), ('manage_policies', 'May change targets and policies'), ('override_check', 'May override a failed check')]},
        ),
        migrations.AddField(
            model_name='policy',
            name='position',
            field=models.PositiveIntegerField(default=0, help_text='Of one target, the first that fits applies.'),
        ),
        migrations.AddField(
            model_name='policy',
            name='terms',
            field=models.JSONField(default=dict, help_text='The policy document: see policy.Rule.terms.'),
        ),
        migrations.AddField(
            model_name='policy',
            name='version',
            field=models.PositiveIntegerField(default=1, help_text='Number of the version that stands now.'),
        ),
        migrations.AddField(
            model_name='promotionrequest',
            name='parts',
            field=models.JSONField(default=dict, help_text='Digest of each part of the evidence: see evidence.part_digests.'),
        ),
        migrations.AddField(
            model_name='review',
            name='meaning',
            field=models.CharField(blank=True, choices=[('reviewed', 'Reviewed'), ('approved', 'Approved'), ('responsible', 'Responsible')], max_length=20),
        ),
        migrations.AddField(
            model_name='review',
            name='parts',
            field=models.JSONField(default=dict, help_text='Digest of each part of it: see evidence.part_digests.'),
        ),
        migrations.AddField(
            model_name='review',
            name='proof_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='review',
            name='signed_name',
            field=models.CharField(blank=True, help_text="The signer's printed name, as it was then.", max_length=400),
        ),
        migrations.AddField(
            model_name='review',
            name='signed_with',
            field=models.CharField(blank=True, help_text='How they proved who they are, where asked.', max_length=40),
        ),
        migrations.AlterField(
            model_name='auditevent',
            name='action',
            field=models.CharField(choices=[('request.created', 'Promotion requested'), ('request.resubmitted', 'Request submitted again'), ('request.withdrawn', 'Request withdrawn'), ('request.expired', 'Request expired'), ('request.commented', 'Comment'), ('request.checked', 'Checks finished'), ('request.reopened', 'Back to review: the evidence changed'), ('request.escalated', 'Escalated'), ('check.answered', 'External check answered'), ('check.overridden', 'Failed check overridden'), ('finding.closed', 'Finding closed'), ('review.approved', 'Approved by a reviewer'), ('review.rejected', 'Rejected by a reviewer'), ('review.changes_requested', 'Changes requested by a reviewer'), ('request.approved', 'All approvals given'), ('delivery.retried', 'Delivery retried'), ('delivery.failed', 'Delivery failed'), ('delivery.held', 'Delivery held by a freeze'), ('version.promoted', 'Version promoted'), ('version.replaced', 'Version replaced'), ('target.created', 'Target added'), ('target.changed', 'Target changed'), ('target.retired', 'Target retired'), ('policy.created', 'Policy added'), ('policy.changed', 'Policy changed'), ('policy.retired', 'Policy retired'), ('policy.reordered', 'Policies reordered'), ('freeze.created', 'Freeze added'), ('freeze.changed', 'Freeze changed'), ('freeze.retired', 'Freeze retired'), ('person.invited', 'Person invited'), ('person.changed', 'Roles changed'), ('person.deactivated', 'Person deactivated'), ('person.reactivated', 'Person reactivated'), ('group.created', 'Group added'), ('history.exported', 'History exported')], max_length=40),
        ),
        migrations.AlterField(
            model_name='outboxentry',
            name='outcome',
            field=models.CharField(blank=True, choices=[('applied', 'Applied'), ('failed', 'Failed'), ('reopened', 'Reopened')], max_length=20),
        ),
        migrations.AlterField(
            model_name='promotionrequest',
            name='status',
            field=models.CharField(choices=[('checking', 'In checks'), ('pending', 'Waiting for review'), ('changes_requested', 'Changes requested'), ('approved', 'Approved, not yet in MLflow'), ('applied', 'Applied'), ('failed', 'Delivery failed'), ('rejected', 'Rejected'), ('withdrawn', 'Withdrawn'), ('expired', 'Expired')], default='checking', max_length=20),
        ),
        migrations.AlterField(
            model_name='promotionrequest',
            name='status_reason',
            field=models.TextField(blank=True, help_text='Why it is failed, rejected, withdrawn, or back in review.'),
        ),
        migrations.AddField(
            model_name='assessment',
            name='request',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='assessment', to='approvals.promotionrequest'),
        ),
        migrations.AddField(
            model_name='checkresult',
            name='overridden_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='checkresult',
            name='request',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='checks', to='approvals.promotionrequest'),
        ),
        migrations.AddField(
            model_name='finding',
            name='closed_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='finding',
            name='owner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='findings', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='finding',
            name='review',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='findings', to='approvals.review'),
        ),
        migrations.AddField(
            model_name='policyversion',
            name='policy',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='approvals.policy'),
        ),
        migrations.AddField(
            model_name='policyversion',
            name='saved_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddIndex(
            model_name='assessment',
            index=models.Index(condition=models.Q(('is_owed', True)), fields=['due_at'], name='assessment_due'),
        ),
        migrations.AddIndex(
            model_name='checkresult',
            index=models.Index(fields=['request', 'position'], name='check_by_request'),
        ),
        migrations.AddIndex(
            model_name='checkresult',
            index=models.Index(condition=models.Q(('outcome', 'waiting'), ('replaced_at', None)), fields=['next_attempt_at'], name='check_waiting'),
        ),
        migrations.AddConstraint(
            model_name='checkresult',
            constraint=models.UniqueConstraint(condition=models.Q(('replaced_at', None)), fields=('request', 'key'), name='one_live_result_per_check'),
        ),
        migrations.AddConstraint(
            model_name='checkresult',
            constraint=models.UniqueConstraint(condition=models.Q(('token', ''), _negated=True), fields=('token',), name='one_result_per_token'),
        ),
        migrations.AddConstraint(
            model_name='checkresult',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('overridden_at', None), ('overridden_by', None)), models.Q(('overridden_at__isnull', False), ('overridden_by__isnull', False), models.Q(('override_reason', ''), _negated=True)), _connector='OR'), name='an_override_has_a_person_and_a_reason'),
        ),
        migrations.AddIndex(
            model_name='finding',
            index=models.Index(condition=models.Q(('closed_at', None)), fields=['due_on'], name='finding_open'),
        ),
        migrations.AddConstraint(
            model_name='finding',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('closed_at', None), ('closed_by', None)), models.Q(('closed_at__isnull', False), ('closed_by__isnull', False), models.Q(('closing_note', ''), _negated=True)), _connector='OR'), name='a_closed_finding_has_a_person_and_a_note'),
        ),
        migrations.AddConstraint(
            model_name='policyversion',
            constraint=models.UniqueConstraint(fields=('policy', 'number'), name='one_row_per_policy_version'),
        ),
    ]
