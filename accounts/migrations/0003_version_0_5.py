"""What 0.5.0 added."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_version_0_4'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='hides_first_day',
            field=models.BooleanField(default=False, help_text='An administrator who needs the checklist of the first day no more.'),
        ),
        migrations.AddField(
            model_name='user',
            name='saved_views',
            field=models.JSONField(blank=True, default=dict, help_text='Filters of pages by name, by page: see components.saved_views.'),
        ),
        migrations.AddField(
            model_name='user',
            name='time_zone',
            field=models.CharField(blank=True, default='', help_text="On whose clock pages show times; blank: the browser's.", max_length=64),
        ),
    ]
