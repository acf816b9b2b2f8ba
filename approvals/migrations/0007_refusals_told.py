"""Notifications of what MLflow refused have a kind of their own."""


from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('approvals', '0006_nomination_taken_back'),
    ]

    operations = [
        migrations.AlterField(
            model_name='notification',
            name='kind',
            field=models.CharField(choices=[('waits', 'A request needs your review'), ('asked', 'You are asked by name to review'), ('reminder', 'A reminder: a request still waits, or expires soon'), ('escalated', 'A request was escalated to your group'), ('mentioned', 'You are mentioned in a comment'), ('commented', 'A comment on a request that you take part in'), ('decided', 'A decision on a request that you take part in'), ('voided', 'The evidence changed, and your approval no longer counts'), ('blocked', 'Checks block your request'), ('delivered', 'A version reached its target in MLflow'), ('failed', 'A delivery failed, or waits for a freeze'), ('expired', 'A request expired'), ('withdrawn', 'A request was withdrawn'), ('break_glass', 'An emergency promotion, or its overdue review'), ('rolled_back', 'A target was rolled back'), ('probation', 'A promotion on probation: begun, confirmed or ended'), ('incident', 'A change outside Countersign was found or resolved'), ('finding', 'A finding that you own: new, due, overdue or closed'), ('refused', 'MLflow refused a change that you tried there')], max_length=20),
        ),
        migrations.AlterField(
            model_name='notificationchoice',
            name='kind',
            field=models.CharField(choices=[('waits', 'A request needs your review'), ('asked', 'You are asked by name to review'), ('reminder', 'A reminder: a request still waits, or expires soon'), ('escalated', 'A request was escalated to your group'), ('mentioned', 'You are mentioned in a comment'), ('commented', 'A comment on a request that you take part in'), ('decided', 'A decision on a request that you take part in'), ('voided', 'The evidence changed, and your approval no longer counts'), ('blocked', 'Checks block your request'), ('delivered', 'A version reached its target in MLflow'), ('failed', 'A delivery failed, or waits for a freeze'), ('expired', 'A request expired'), ('withdrawn', 'A request was withdrawn'), ('break_glass', 'An emergency promotion, or its overdue review'), ('rolled_back', 'A target was rolled back'), ('probation', 'A promotion on probation: begun, confirmed or ended'), ('incident', 'A change outside Countersign was found or resolved'), ('finding', 'A finding that you own: new, due, overdue or closed'), ('refused', 'MLflow refused a change that you tried there')], max_length=20),
        ),
    ]
