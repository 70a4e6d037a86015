from django.db import migrations, models
from django.db.models import F

import tradingsite.common.clock


def first_as_last(apps, schema_editor):
    """Of a block that stands only the last detail is known."""
    apps.get_model("safety", "ReconciliationBlock").objects.update(first_detail=F("detail"), last_at=F("since"))


class Migration(migrations.Migration):
    dependencies = [
        ("safety", "0011_what_became_of_an_order"),
    ]

    operations = [
        migrations.AddField(
            model_name="reconciliationblock",
            name="first_detail",
            field=models.TextField(blank=True, default="", help_text="What differed when it was blocked."),
        ),
        migrations.AddField(
            model_name="reconciliationblock",
            name="times",
            field=models.PositiveIntegerField(
                default=1, help_text="How many differences of this kind there have been."
            ),
        ),
        migrations.AddField(
            model_name="reconciliationblock",
            name="last_at",
            field=models.DateTimeField(
                default=tradingsite.common.clock.utcnow, help_text="When the last of them was found."
            ),
        ),
        migrations.AlterField(
            model_name="reconciliationblock",
            name="detail",
            field=models.TextField(blank=True, default="", help_text="What differed at last."),
        ),
        migrations.RunPython(first_as_last, migrations.RunPython.noop),
    ]
