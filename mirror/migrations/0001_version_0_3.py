"""The tables as 0.3.0 had them. An earlier version is upgraded to 0.3.0 first."""

import django.db.models.deletion
import django.db.models.manager
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    replaces = [
        ("mirror", "0001_initial"),
        ("mirror", "0002_inspections"),
        ("mirror", "0003_light_inspections"),
        ("mirror", "0004_refresh_hints"),
        ("mirror", "0005_outages"),
    ]
    dependencies = []

    operations = [
        migrations.CreateModel(
            name='MirrorState',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('pulled_at', models.DateTimeField(help_text='Last pull that MLflow answered.', null=True)),
                ('swept_at', models.DateTimeField(help_text='Last full sweep that ended.', null=True)),
                ('failing_since', models.DateTimeField(null=True)),
                ('failed_at', models.DateTimeField(null=True)),
                ('error', models.TextField(blank=True, help_text='Of the pull; a sweep has its own.')),
                ('cursor', models.BigIntegerField(default=0, help_text='Newest last_updated_timestamp seen, in milliseconds.')),
                ('server_version', models.CharField(blank=True, max_length=40)),
                ('latency_ms', models.FloatField(null=True)),
                ('sweep_progress', models.JSONField(default=dict, help_text='{"models": n, "versions": n} while a sweep runs.')),
                ('pulling_until', models.DateTimeField(help_text='Lease of the pull that runs now.', null=True)),
                ('sweeping_until', models.DateTimeField(help_text='Lease of the sweep that runs now.', null=True)),
                ('aliases_asked_at', models.DateTimeField(help_text='The same of aliases and deletions: by sweeps alone.', null=True)),
                ('stages_asked_at', models.DateTimeField(help_text='Stages as they were then are mirrored, or newer ones.', null=True)),
            ],
        ),
        migrations.CreateModel(
            name='RegisteredModel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=256, unique=True)),
                ('description', models.TextField(blank=True)),
                ('tags', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField()),
                ('last_updated_at', models.DateTimeField()),
                ('read_at', models.DateTimeField(default=django.utils.timezone.now, help_text='When MLflow was asked. Older answers never overwrite.')),
                ('deleted_at', models.DateTimeField(blank=True, help_text='When MLflow was first seen without it.', null=True)),
            ],
            options={
                'indexes': [models.Index(fields=['-last_updated_at'], name='model_by_update')],
            },
        ),
        migrations.CreateModel(
            name='ModelVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('stage', models.CharField(choices=[('None', 'None'), ('Staging', 'Staging'), ('Production', 'Production'), ('Archived', 'Archived')], default='None', max_length=20)),
                ('description', models.TextField(blank=True)),
                ('tags', models.JSONField(default=dict)),
                ('status', models.CharField(default='READY', max_length=40)),
                ('status_message', models.TextField(blank=True)),
                ('source', models.TextField(blank=True)),
                ('run_id', models.CharField(blank=True, max_length=64)),
                ('run_link', models.TextField(blank=True)),
                ('logged_model_id', models.CharField(blank=True, max_length=64)),
                ('metrics', models.JSONField(default=dict, help_text='Name to number; "NaN", "Infinity" and "-Infinity" are strings. Names: see measures.')),
                ('params', models.JSONField(default=dict)),
                ('run', models.JSONField(default=dict, help_text='Facts of the run: see registry.RunFacts.')),
                ('facts_at', models.DateTimeField(blank=True, help_text='When run and LoggedModel were last read.', null=True)),
                ('created_at', models.DateTimeField()),
                ('last_updated_at', models.DateTimeField()),
                ('read_at', models.DateTimeField(default=django.utils.timezone.now, help_text='When MLflow was asked. Older answers never overwrite.')),
                ('deleted_at', models.DateTimeField(blank=True, null=True)),
                ('model', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='mirror.registeredmodel')),
            ],
            options={
                'indexes': [models.Index(fields=['model', 'stage'], name='version_by_stage'), models.Index(fields=['-last_updated_at'], name='version_by_update'), models.Index(fields=['run_id'], name='version_by_run'), models.Index(condition=models.Q(('facts_at', None)), fields=['-last_updated_at'], name='version_without_facts'), models.Index(fields=['stage'], name='version_in_stage')],
                'constraints': [models.UniqueConstraint(fields=('model', 'number'), name='one_row_per_version')],
            },
        ),
        migrations.CreateModel(
            name='Alias',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=256)),
                ('number', models.PositiveIntegerField()),
                ('model', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='aliases', to='mirror.registeredmodel')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('model', 'name'), name='one_version_per_alias')],
            },
        ),
        migrations.CreateModel(
            name='Inspection',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('files', models.JSONField(help_text='Digest and manifest: see inspection.hash_files.', null=True)),
                ('packaging', models.JSONField(help_text='What the MLmodel file says: see packaging.read.', null=True)),
                ('curves', models.JSONField(default=dict, help_text='{"loss": [[step, "0.25"], …]}; values as text.')),
                ('problem', models.TextField(blank=True, help_text='What could not be read, as a sentence.')),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('inspected_at', models.DateTimeField(blank=True, help_text='When the last look ended.', null=True)),
                ('files_done', models.PositiveIntegerField(default=0)),
                ('files_total', models.PositiveIntegerField(default=0)),
                ('bytes_done', models.PositiveBigIntegerField(default=0)),
                ('bytes_total', models.PositiveBigIntegerField(default=0)),
                ('version', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='inspection', to='mirror.modelversion')),
            ],
            options={
                'base_manager_name': 'light',
            },
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('light', django.db.models.manager.Manager()),
            ],
        ),
        migrations.CreateModel(
            name='Exhibit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('path', models.CharField(max_length=500)),
                ('kind', models.CharField(choices=[('image', 'Image'), ('table', 'Table')], max_length=10)),
                ('media_type', models.CharField(max_length=40)),
                ('size', models.PositiveIntegerField()),
                ('sha256', models.CharField(max_length=64)),
                ('content', models.BinaryField()),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='exhibits', to='mirror.modelversion')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('version', 'path'), name='one_exhibit_per_path')],
            },
        ),
        migrations.CreateModel(
            name='RefreshHint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('model_name', models.CharField(max_length=256, unique=True)),
                ('heard_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name='Outage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('started_at', models.DateTimeField(help_text='When MLflow was last seen before, or when it first failed.')),
                ('ended_at', models.DateTimeField(help_text='When it was seen again.')),
                ('error', models.TextField(blank=True, help_text='What it said, or why it did not answer; empty: it was not asked.')),
            ],
            options={
                'indexes': [models.Index(fields=['ended_at'], name='outage_by_end')],
            },
        ),
    ]
