"""What the imports of news and of fundamentals have in common at the terminal."""

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError

from market.management.report import faults_as_command_errors
from market.models import FeedImport
from tradingsite.common.actor import Actor


class FeedCommand(BaseCommand):
    """Imports one file with the service `bring_in` and prints what that did."""

    bring_in: ClassVar[Callable[..., FeedImport]]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **given: Any) -> None:
        path: Path = given["file"]
        try:
            file = path.open("rb")
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from None
        actor = Actor.system(type(self).__module__.rpartition(".")[2])
        with file, faults_as_command_errors():
            done = type(self).bring_in(actor=actor, file=file, filename=path.name)
        report = done.report
        self.stdout.write(
            f"{report['rows']} rows read about {report['symbols_total']} symbols: {report['added']} added, "
            f"{report['unchanged']} were there."
        )
