from django.conf import settings
from django.db import migrations, models


def note_what_was_applied(apps, schema_editor):
    """What a strategy took parameters of before there was this column is told by the audit."""
    job = apps.get_model("optimize", "OptimizationJob")
    taken = apps.get_model("safety", "AuditLog").objects.filter(action="optimization.apply")
    for target_id, at in taken.order_by("id").values_list("target_id", "at"):
        job.objects.filter(pk=target_id).update(applied_at=at)


class Migration(migrations.Migration):

    dependencies = [
        ('optimize', '0002_tuned_model'),
        ('safety', '0012_blocks_that_came_again'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='optimizationjob',
            name='applied_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name='optimizationjob',
            index=models.Index(fields=['completed_at'], name='optimization_job_completed'),
        ),
        migrations.RunPython(note_what_was_applied, migrations.RunPython.noop),
    ]
