import django.db.models.deletion
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
    dependencies = [("accounts", "0006_owner_and_former_names"), ("approvals", "0015_incidents_of_hidden_models")]

    operations = [
        migrations.AddField(
            model_name="promotionrequest",
            name="owner",
            field=models.ForeignKey(
                blank=True,
                help_text="Answered for the service account that asked, when it asked.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunPython(remember, migrations.RunPython.noop),
    ]
