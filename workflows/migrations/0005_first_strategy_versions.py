from django.db import migrations

FIELDS = ("workflow_id", "strategy_type", "symbols", "param")
REASON = "As it was when versions came to be kept."


def write_first_versions(apps, schema_editor):
    """Strategies of the time before versions are version 1 as they stand; who made them so is not known."""
    Strategy = apps.get_model("workflows", "Strategy")
    StrategyVersion = apps.get_model("workflows", "StrategyVersion")
    unversioned = Strategy.objects.filter(version_number=0)
    while rows := list(unversioned.order_by("pk")[:500]):
        StrategyVersion.objects.bulk_create(
            StrategyVersion(
                strategy_id=row.pk, version_number=1, reason=REASON, **{name: getattr(row, name) for name in FIELDS}
            )
            for row in rows
        )
        Strategy.objects.filter(pk__in=[row.pk for row in rows]).update(version_number=1)


class Migration(migrations.Migration):

    dependencies = [
        ('workflows', '0004_strategy_version'),
    ]

    operations = [
        migrations.RunPython(write_first_versions, migrations.RunPython.noop),
    ]
