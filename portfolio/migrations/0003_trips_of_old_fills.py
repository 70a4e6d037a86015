from itertools import islice

from django.db import migrations

from portfolio.trips import trips_replayed

BATCH = 500


def replay(apps, schema_editor):
    """Write the round trips that the fills so far have made."""
    Fill, RoundTrip = apps.get_model("portfolio", "Fill"), apps.get_model("portfolio", "RoundTrip")
    fills = Fill.objects.select_related("order").order_by("account_id", "sequence").iterator(chunk_size=BATCH)
    trips = (RoundTrip(**fields) for fields in trips_replayed(fills))
    while batch := list(islice(trips, BATCH)):
        RoundTrip.objects.bulk_create(batch)


class Migration(migrations.Migration):

    dependencies = [
        ('portfolio', '0002_round_trips'),
    ]

    operations = [
        migrations.RunPython(replay, migrations.RunPython.noop),
    ]
