"""`manage.py executions_reap`: one round of the watchdog."""

from typing import Any

from django.core.management.base import BaseCommand

from executions import watchdog


class Command(BaseCommand):
    help = "Bring back runs whose worker died or whose message was lost, end those that used their attempts up."

    def handle(self, **options: Any) -> None:
        count = watchdog.tick()
        self.stdout.write(f"{count} runs brought back or ended.")
