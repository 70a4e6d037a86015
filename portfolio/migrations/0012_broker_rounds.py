import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("portfolio", "0011_longer_client_order_ids"),
    ]

    operations = [
        migrations.AddField(
            model_name="order",
            name="cancel_tried_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.CreateModel(
            name="BrokerRound",
            fields=[
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="portfolio.account",
                    ),
                ),
                (
                    "holder",
                    models.UUIDField(
                        blank=True, help_text="The round that has the lease, or had it last.", null=True
                    ),
                ),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                ("began_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={"db_table": "broker_round", "ordering": ["account_id"]},
        ),
    ]
