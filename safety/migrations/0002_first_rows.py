"""The rows that a new desk starts with, so that the admin shows the limits and the switch before anybody touched them."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def make_rows(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("safety", "SafetySettings").objects.get_or_create(id=1)
    apps.get_model("safety", "KillSwitch").objects.get_or_create(scope="all")


class Migration(migrations.Migration):
    dependencies = [("safety", "0001_initial")]
    operations = [migrations.RunPython(make_rows, migrations.RunPython.noop)]
