"""`manage.py relay`: the relay and the background duties as a process of their own."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from tradingsite.common.background import Background


class Command(BaseCommand):
    help = "Publish the outbox to the broker and run the background duties, until stopped."

    def handle(self, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        background = Background()
        background.start()
        self.stdout.write("Relay and duties are running. Ctrl-C stops them.")
        stop.wait()
        background.stop()
