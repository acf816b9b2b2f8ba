"""What 0.4.0 added."""

from django.db import migrations, models


class Migration(migrations.Migration):
    replaces = [
        ("mirror", "0006_fact_sources"),
        ("mirror", "0007_hidden_models"),
        ("mirror", "0008_sweeps_apart_and_missing"),
        ("mirror", "0009_known_registry"),
        ("mirror", "0010_unreadable"),
    ]
    dependencies = [("mirror", "0001_version_0_3")]

    operations = [
        migrations.AddField(
            model_name='modelversion',
            name='fact_sources',
            field=models.JSONField(default=dict, help_text='{"metrics": see measures.Sources, "params": {name: {"run": its value}}, "early": see facts}'),
        ),
        migrations.AddField(
            model_name='registeredmodel',
            name='hidden_at',
            field=models.DateTimeField(blank=True, help_text='When MLflow was first seen not to list it, or its versions, that it has by name.', null=True),
        ),
        migrations.AddIndex(
            model_name='registeredmodel',
            index=models.Index(condition=models.Q(('hidden_at__isnull', False)), fields=['hidden_at'], name='model_hidden'),
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='missing',
            field=models.JSONField(default=dict, help_text='What a sweep no longer found listed, too much at once to be believed: see sweep.Missing.'),
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='missing_confirmed_at',
            field=models.DateTimeField(help_text='When a person said that it is so.', null=True),
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='sweep_error',
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='sweep_failed_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='sweep_failing_since',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='clocks',
            field=models.JSONField(default=dict, help_text='{"mlflow": s, "workers": {host: {"seconds": s, "at": …}}}: seconds ahead of the database.'),
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='halt',
            field=models.TextField(blank=True, help_text='Why nothing is written to MLflow until a person says so.'),
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='refused',
            field=models.JSONField(default=dict, help_text='Another one that answered: see identity.confirm.'),
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='refused_at',
            field=models.DateTimeField(help_text='When it last did.', null=True),
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='registry',
            field=models.JSONField(default=dict, help_text='The registry that is mirrored: see identity.confirm.'),
        ),
        migrations.CreateModel(
            name='SetupCheck',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('rows', models.JSONField(default=list, help_text='See rights.Row.')),
                ('is_good', models.BooleanField()),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('pk', 1)), name='there_is_one_setup_check')],
            },
        ),
        migrations.AddField(
            model_name='mirrorstate',
            name='sweep_notes',
            field=models.JSONField(default=list, help_text='What the last sweep could not read or keep, a sentence each.'),
        ),
        migrations.AddField(
            model_name='registeredmodel',
            name='unreadable_at',
            field=models.DateTimeField(blank=True, help_text='When MLflow was first seen not to let this account read it, or a version of it.', null=True),
        ),
    ]
