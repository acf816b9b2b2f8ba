from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0004_policies_are_documents'),
    ]

    operations = [
        migrations.RemoveField(
            model_name='slot',
            name='group',
        ),
        migrations.RemoveField(
            model_name='slot',
            name='policy',
        ),
        migrations.RemoveConstraint(
            model_name='policy',
            name='a_request_stays_open_for_a_day',
        ),
        migrations.RemoveConstraint(
            model_name='promotionrequest',
            name='one_open_request_per_version_and_target',
        ),
        migrations.RemoveConstraint(
            model_name='promotionrequest',
            name='decided_exactly_when_the_status_says_so',
        ),
        migrations.RemoveConstraint(
            model_name='promotionrequest',
            name='closed_exactly_when_the_status_says_so',
        ),
        migrations.RemoveField(
            model_name='policy',
            name='open_for_days',
        ),
        migrations.RemoveField(
            model_name='policy',
            name='requires_reason',
        ),
        migrations.AddConstraint(
            model_name='promotionrequest',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ('checking', 'pending', 'changes_requested', 'approved', 'failed'))), fields=('version', 'target'), name='one_open_request_per_version_and_target'),
        ),
        migrations.AddConstraint(
            model_name='promotionrequest',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('decided_at__isnull', False), ('status__in', ('approved', 'applied', 'failed', 'rejected'))), models.Q(models.Q(('status__in', ('approved', 'applied', 'failed', 'rejected')), _negated=True), ('decided_at__isnull', True)), _connector='OR'), name='decided_exactly_when_the_status_says_so'),
        ),
        migrations.AddConstraint(
            model_name='promotionrequest',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('closed_at__isnull', False), ('status__in', ('applied', 'rejected', 'withdrawn', 'expired'))), models.Q(models.Q(('status__in', ('applied', 'rejected', 'withdrawn', 'expired')), _negated=True), ('closed_at__isnull', True)), _connector='OR'), name='closed_exactly_when_the_status_says_so'),
        ),
        migrations.DeleteModel(
            name='Slot',
        ),
    ]
