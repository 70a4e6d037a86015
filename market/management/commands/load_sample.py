"""Import the sample prices that ship with the desk."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from market import services
from market.management.report import console_on, faults_as_command_errors, show
from market.sources.sample import NAMES
from tradingsite.common.actor import Actor


class Command(BaseCommand):
    help = "Import the sample: real daily prices of five US shares, 2000 to 2013. A second time changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--symbols", nargs="+", choices=sorted(NAMES), default=[], metavar="SYMBOL")

    def handle(self, *args: Any, **given: Any) -> None:
        with faults_as_command_errors():
            done = services.bars_import_source(
                actor=Actor.system("load_sample"), source="sample", symbols=tuple(given["symbols"])
            )
        show(console_on(self.stdout), done)
