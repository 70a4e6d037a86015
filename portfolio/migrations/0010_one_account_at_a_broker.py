from django.db import migrations, models


def refuse_two(apps, schema_editor):
    """Say what to do where two accounts have one broker account, instead of a constraint that fails without a word."""
    names = list(apps.get_model("portfolio", "Account").objects.filter(broker="alpaca").values_list("name", flat=True))
    if len(names) > 1:
        raise RuntimeError(
            f"BROKER_TAKEN: the accounts {', '.join(sorted(names))} trade in one account at Alpaca. "
            "Set all but one of them to the paper broker, then migrate again."
        )


class Migration(migrations.Migration):
    dependencies = [
        ("portfolio", "0009_cash_movements"),
    ]

    operations = [
        migrations.RunPython(refuse_two, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.UniqueConstraint(
                condition=models.Q(("broker", "alpaca")),
                fields=("broker",),
                name="account_one_at_alpaca",
                violation_error_code="BROKER_TAKEN",
                violation_error_message="Another account trades there already, by the same keys: the desk would hold "
                "each share twice. Keep this one on paper, or set the other to paper first.",
            ),
        ),
    ]
