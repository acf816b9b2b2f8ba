"""An opening of the gate is an incident."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0009_plain_words'),
    ]

    operations = [
        migrations.AlterField(
            model_name='incident',
            name='kind',
            field=models.CharField(choices=[('moved', 'Stage or alias changed'), ('deleted', 'Version deleted'), ('exchanged', 'Another version under the same number'), ('renamed', 'Model renamed'), ('files', 'Model files changed'), ('prompt', 'Marked as a prompt'), ('hidden', "Hidden from MLflow's search"), ('unenforced', 'Gate not enforced by MLflow'), ('opened', 'Gate opened in MLflow')], max_length=20),
        ),
    ]
