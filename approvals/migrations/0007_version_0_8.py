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
