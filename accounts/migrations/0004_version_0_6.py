"""0.6.0 changed a help text, which is now where its field is made. Databases have this name on record."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_version_0_5'),
    ]

    operations = []
