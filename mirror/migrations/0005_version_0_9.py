"""What 0.9.0 adds."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('mirror', '0004_version_0_7'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='modelversion',
            index=models.Index(condition=models.Q(('deleted_at__isnull', False)), fields=['deleted_at'], name='version_deleted'),
        ),
    ]
