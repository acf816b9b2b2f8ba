"""What 0.6.0 adds."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_version_0_5'),
    ]

    operations = [
        migrations.AlterField(
            model_name='user',
            name='former_mlflow_names',
            field=models.JSONField(blank=True, default=list, help_text='What an administrator noted before; still counts; list of text.'),
        ),
    ]
