"""Import fundamentals from a file."""

from market.management.feed_command import FeedCommand
from market.services import fundamentals_import


class Command(FeedCommand):
    help = "Import fundamentals from FILE (CSV or JSON Lines, plain or gzipped): all of it or nothing."
    bring_in = staticmethod(fundamentals_import)
