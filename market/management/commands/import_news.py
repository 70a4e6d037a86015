"""Import news from a file."""

from market.management.feed_command import FeedCommand
from market.services import news_import


class Command(FeedCommand):
    help = "Import news from FILE (CSV or JSON Lines, plain or gzipped): all of it or nothing."
    bring_in = staticmethod(news_import)
