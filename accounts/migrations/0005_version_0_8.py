"""What 0.8.0 adds."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_version_0_6'),
    ]

    operations = [
        migrations.CreateModel(
            name='TrustedPublisher',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('provider', models.CharField(choices=[('github', 'GitHub Actions'), ('gitlab', 'GitLab')], max_length=20)),
                ('issuer', models.CharField(max_length=300)),
                ('repository', models.CharField(help_text='With its owner or group: acme/churn.', max_length=200)),
                ('repository_id', models.CharField(blank=True, default='', help_text="The issuer's number of it, as the first job said.", max_length=300)),
                ('ref_pattern', models.CharField(help_text='refs/heads/main; * stands for anything.', max_length=200)),
                ('environment', models.CharField(blank=True, default='', help_text='Blank: any, or none.', max_length=200)),
                ('scopes', models.JSONField(help_text='What its tokens can be used for; list of text.')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('retired_at', models.DateTimeField(blank=True, null=True)),
                ('account', models.ForeignKey(help_text='As whom it acts.', on_delete=django.db.models.deletion.PROTECT, related_name='publishers', to=settings.AUTH_USER_MODEL)),
                ('created_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('retired_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='ApiToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='What it is for: its pipeline, script or machine.', max_length=80)),
                ('digest', models.CharField(help_text='SHA-256 of the token, hexadecimal.', max_length=64, unique=True)),
                ('prefix', models.CharField(help_text='How it begins, by which it is known again.', max_length=12)),
                ('scopes', models.JSONField(help_text='What it can be used for; list of text.')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('expires_at', models.DateTimeField()),
                ('last_used_at', models.DateTimeField(blank=True, help_text='To the hour.', null=True)),
                ('last_used_from', models.CharField(blank=True, default='', help_text="The client's address at the first use in that hour.", max_length=45)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('proof', models.CharField(blank=True, help_text='SHA-256 of what it was exchanged for, taken once.', max_length=64, null=True, unique=True)),
                ('run', models.CharField(blank=True, db_default='', default='', help_text='Link to the job that got it, as its issuer says.', max_length=500)),
                ('account', models.ForeignKey(help_text='As whom it acts.', on_delete=django.db.models.deletion.PROTECT, related_name='api_tokens', to=settings.AUTH_USER_MODEL)),
                ('made_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('revoked_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('publisher', models.ForeignKey(blank=True, help_text='Whose job got it.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.trustedpublisher')),
            ],
        ),
    ]
