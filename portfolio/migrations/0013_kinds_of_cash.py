from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("portfolio", "0012_broker_rounds"),
    ]

    operations = [
        migrations.AddField(
            model_name="cashmovement",
            name="kind",
            field=models.CharField(
                choices=[
                    ("moved", "Moved, unexplained"),
                    ("fee", "Fee"),
                    ("dividend", "Dividend"),
                    ("interest", "Interest"),
                ],
                default="moved",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="cashmovement",
            name="booked_on",
            field=models.DateField(blank=True, help_text="By the broker, where it tells.", null=True),
        ),
    ]
