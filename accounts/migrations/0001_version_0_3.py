"""The tables as 0.3.0 had them. An earlier version is upgraded to 0.3.0 first."""

import django.db.models.functions.text
import django.utils.timezone
from django.core.management import call_command
from django.db import migrations, models


def create(apps, schema_editor):
    """The table of the shared cache, which sign-in's rate limits need."""
    call_command("createcachetable", database=schema_editor.connection.alias, verbosity=0)


class Migration(migrations.Migration):
    initial = True
    replaces = [
        ("accounts", "0001_initial"),
        ("accounts", "0002_cache_table"),
        ("accounts", "0003_service_accounts"),
        ("accounts", "0004_pseudonymised"),
    ]
    dependencies = [("auth", "0012_alter_user_first_name_max_length")]

    operations = [
        migrations.CreateModel(
            name='User',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('email', models.EmailField(max_length=254)),
                ('name', models.CharField(max_length=120)),
                ('is_active', models.BooleanField(default=True)),
                ('joined_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('uses_shortcuts', models.BooleanField(default=True, help_text='Single-letter keyboard shortcuts (WCAG 2.1.4).')),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
                ('is_service_account', models.BooleanField(default=False, help_text='A program, not a person: may ask for promotions, can never sign.')),
                ('mlflow_names', models.JSONField(blank=True, default=list, help_text='What MLflow calls this person, besides the e-mail address; list of text.')),
                ('pseudonymised_at', models.DateTimeField(blank=True, help_text='Name and address were taken away then; there is no way back.', null=True)),
            ],
            options={
                'permissions': [('manage_people', 'May invite people, give roles and deactivate accounts')],
                'constraints': [models.UniqueConstraint(django.db.models.functions.text.Lower('email'), name='one_person_per_email')],
            },
        ),
        migrations.RunPython(create, migrations.RunPython.noop),
    ]
