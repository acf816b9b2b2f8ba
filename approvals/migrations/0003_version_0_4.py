"""What 0.4.0 added."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


def remember(apps, schema_editor):
    """What people were called before, as far as the ledger's tokens tell. A name in MLflow that is no longer noted
    becomes a former one."""
    User, Identity = apps.get_model("accounts", "User"), apps.get_model("approvals", "Identity")
    for person in User.objects.filter(pseudonymised_at=None, identities__isnull=False).distinct():
        own, noted = [], []
        held = Identity.objects.filter(person=person, erased_at=None).order_by("pk")
        for label in held.filter(naming="label").values_list("label", flat=True):
            name, _, address = label.rpartition(" <")
            own += [name, address.rstrip(">")]
        for text in held.filter(naming="other").values_list("label", flat=True):
            if text.lower() not in {each.lower() for each in own}:
                noted.append(text)
        now = {person.name, person.email}
        person.former_names = [text for text in dict.fromkeys(own) if text and text not in now]
        person.former_mlflow_names = [text for text in dict.fromkeys(noted) if text not in {*now, *person.mlflow_names}]
        if person.former_names or person.former_mlflow_names:
            person.save(update_fields=["former_names", "former_mlflow_names"])


class Migration(migrations.Migration):
    replaces = [
        ("approvals", "0015_incidents_of_hidden_models"),
        ("approvals", "0016_owner_and_former_names"),
        ("approvals", "0017_rows_sealed"),
        ("approvals", "0018_deletions_confirmed"),
        ("approvals", "0019_ledger_cuts"),
        ("approvals", "0020_inspections_end"),
        ("approvals", "0021_half_delivered"),
        ("approvals", "0022_half_delivered_actions"),
        ("approvals", "0023_verification_remarks"),
    ]
    dependencies = [("accounts", "0002_version_0_4"), ("approvals", "0002_ledger")]

    operations = [
        migrations.AddField(
            model_name='promotionrequest',
            name='owner',
            field=models.ForeignKey(blank=True, help_text='Answered for the service account that asked, when it asked.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='watchstate',
            name='witnessed_at',
            field=models.DateTimeField(help_text='Versions that MLflow changed up to then, by its clock, were held against the ledger.', null=True),
        ),
        migrations.CreateModel(
            name='LedgerCut',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('found_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('sequence', models.BigIntegerField(help_text="The ledger's end when it was found.")),
                ('beyond_sequence', models.BigIntegerField(default=0, help_text='The last event that MLflow knows of; 0: none.')),
                ('beyond_request', models.BigIntegerField(default=0, help_text='The highest number of a request; 0: none.')),
                ('evidence', models.JSONField(default=list, help_text='Sentences, one for each of some versions.')),
                ('acknowledged_at', models.DateTimeField(blank=True, null=True)),
                ('reason', models.TextField(blank=True)),
                ('settled_at', models.DateTimeField(blank=True, help_text='The watch has taken what is there as it is.', null=True)),
                ('acknowledged_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.UniqueConstraint(models.Value(1), condition=models.Q(('acknowledged_at', None)), name='one_open_ledger_cut')],
            },
        ),
        migrations.AddField(
            model_name='assessment',
            name='failures',
            field=models.PositiveSmallIntegerField(default=0, help_text='Tries in a row that ended in an error of our own, or not at all.'),
        ),
        migrations.AddField(
            model_name='outboxentry',
            name='ending',
            field=models.CharField(blank=True, choices=[('accept', 'Accept the partial delivery'), ('revert', 'Undo the partial delivery')], help_text='What a person decided of the half.', max_length=10),
        ),
        migrations.AddField(
            model_name='outboxentry',
            name='half',
            field=models.JSONField(blank=True, help_text='Partly delivered: the event of each place reached, and what is missing.', null=True),
        ),
        migrations.AddField(
            model_name='outboxentry',
            name='is_at_rest',
            field=models.BooleanField(default=False, help_text='Partly delivered, with tenures as MLflow has it: no attempt is under way.'),
        ),
        migrations.AddField(
            model_name='verification',
            name='remarks',
            field=models.TextField(blank=True, help_text='What could not be held against anything, one sentence per line.'),
        ),
        migrations.RunPython(remember, migrations.RunPython.noop),
    ]
