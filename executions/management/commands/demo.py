"""`manage.py demo`: the main job once, printed."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from executions.demo import demo_run
from executions.embedded import EmbeddedWorkers
from executions.setup import desk_setup


class Command(BaseCommand):
    help = "Run a demo workflow over the sample prices: what it decided, what the gate said, what was bought."

    def handle(self, **options: Any) -> None:
        desk_setup(write=self.stdout.write)
        with EmbeddedWorkers(clock=False):
            status = demo_run(write=self.stdout.write)
        if status != "completed":
            raise CommandError(f"The demo run ended as {status}; the lines above say why.")
