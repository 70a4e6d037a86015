from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("portfolio", "0010_one_account_at_a_broker"),
    ]

    operations = [
        migrations.AlterField(
            model_name="order",
            name="client_order_id",
            field=models.CharField(max_length=255, unique=True),
        ),
    ]
