"""`manage.py demo`: the main job once, printed."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from executions.demo import demo_run
from executions.embedded import EmbeddedWorkers
from executions.setup import desk_setup
from workflows.demo import DEMO_RUN_STRATEGY, DEMO_TEAM_STRATEGY


class Command(BaseCommand):
    help = "Run a demo workflow over the sample prices: what it decided, what the gate said, what was bought."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", action="store_true", help="Let the team of agents decide, without any model.")

    def handle(self, **options: Any) -> None:
        desk_setup(write=self.stdout.write)
        name = DEMO_TEAM_STRATEGY if options["team"] else DEMO_RUN_STRATEGY
        with EmbeddedWorkers(clock=False):
            status = demo_run(write=self.stdout.write, strategy_name=name)
        if status != "completed":
            raise CommandError(f"The demo run ended as {status}; the lines above say why.")
