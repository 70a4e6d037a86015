"""Import bars from a file, or from a source by name."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from market import services
from market.choices import Adjustment, OnConflict, SourceClock, Timeframe
from market.management.report import console_on, faults_as_command_errors, show
from market.options import ImportOptions
from market.sources import sources
from tradingsite.common.actor import Actor


def _pair(text: str) -> tuple[str, str]:
    name, separator, header = text.partition("=")
    if not separator or not name or not header:
        raise CommandError(f"--map takes column=Header, such as close='Adj Close'; this is {text!r}.")
    return name.strip(), header.strip()


class Command(BaseCommand):
    help = "Import bars from FILE (CSV, gzipped CSV, Parquet), or from a source by name with --source and no FILE."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", type=Path, help="The file; leave it out to ask a source by name.")
        named = ", ".join(source.slug for source in sources.all())
        parser.add_argument("--source", help=f"With FILE: where to put the bars (default import). Without: {named}.")
        parser.add_argument("--symbols", nargs="+", default=[], metavar="SYMBOL", help="Only these.")
        parser.add_argument("--timeframe", choices=Timeframe.values, default=Timeframe.D1.value)
        parser.add_argument("--clock", choices=SourceClock.values)
        parser.add_argument("--adjustment", choices=Adjustment.values)
        parser.add_argument("--adjust-from", choices=["adj_close"], help="Multiply prices by adjusted close / close.")
        parser.add_argument(
            "--map", action="append", default=[], metavar="COLUMN=HEADER", help="Name a column's header."
        )
        parser.add_argument("--tz", help="Time zone of times without an offset, such as America/New_York.")
        parser.add_argument("--date-format", help="strptime format of times that are not ISO 8601.")
        parser.add_argument("--exchange", help="Exchange calendar of new instruments (default XNYS).")
        parser.add_argument("--currency", help="Currency of new instruments (default USD).")
        parser.add_argument("--on-conflict", choices=OnConflict.values, default=OnConflict.ERROR.value)

    def handle(self, *args: Any, **given: Any) -> None:
        console = console_on(self.stdout)
        actor = Actor.system("import_bars")
        symbols = tuple(given["symbols"])
        with faults_as_command_errors(), console.status("Reading and checking"):
            if given["file"] is None:
                if given["source"] is None:
                    raise CommandError("Name a FILE, or a source with --source.")
                done = services.bars_import_source(
                    actor=actor,
                    source=given["source"],
                    symbols=symbols,
                    timeframe=given["timeframe"],
                    replace=given["on_conflict"] == OnConflict.REPLACE,
                )
            else:
                names = ("clock", "timeframe", "adjustment", "adjust_from", "tz", "date_format", "exchange", "currency")
                options = ImportOptions(
                    source=given["source"] or "import",
                    symbols=symbols,
                    mapping=dict(_pair(text) for text in given["map"]),
                    on_conflict=given["on_conflict"],
                    **{name: given[name] for name in names},
                )
                path: Path = given["file"]
                try:
                    file = path.open("rb")
                except OSError as error:
                    raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
                with file:
                    done = services.bars_import_file(actor=actor, file=file, filename=path.name, options=options)
        show(console, done)
