"""What 0.5.0 added."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.models import F

from approvals.migrations._together import Together


def told_before(apps, schema_editor):
    """Nobody begins with a bell full of what they have long had by mail."""
    apps.get_model("approvals.Notification").objects.update(read_at=F("created_at"))


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0003_version_0_4'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='notification',
            name='read_at',
            field=models.DateTimeField(blank=True, help_text='On a page; whether the mail was read is not known.', null=True),
        ),
        Together(
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
                    ('by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('person', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='nominations', to=settings.AUTH_USER_MODEL)),
                    ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='nominations', to='approvals.promotionrequest')),
                ],
                options={
                    'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('group', ''), ('person__isnull', False)), models.Q(('person', None), models.Q(('group', ''), _negated=True)), _connector='OR'), name='a_nomination_is_of_a_person_or_a_group'), models.UniqueConstraint(condition=models.Q(('person__isnull', False)), fields=('request', 'person'), name='one_nomination_per_person'), models.UniqueConstraint(condition=models.Q(('group', ''), _negated=True), fields=('request', 'group'), name='one_nomination_per_group')],
                },
            ),
            migrations.CreateModel(
                name='Subscription',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('is_muted', models.BooleanField(help_text='Else it is subscribed to.')),
                    ('changed_at', models.DateTimeField(default=django.utils.timezone.now)),
                    ('person', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='subscriptions', to='approvals.promotionrequest')),
                ],
                options={
                    'constraints': [models.UniqueConstraint(fields=('request', 'person'), name='one_subscription_per_person_and_request')],
                },
            ),
            migrations.AddIndex(
                model_name='notification',
                index=models.Index(condition=models.Q(('read_at', None)), fields=['recipient'], name='notification_unread'),
            ),
        ),
        migrations.RunPython(told_before, migrations.RunPython.noop, elidable=True),
    ]
