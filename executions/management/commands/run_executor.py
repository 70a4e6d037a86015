"""`manage.py run_executor`: carries runs that come by Kafka."""

import argparse
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tradingsite.common.background import Background, guarded
from tradingsite.common.relay import drain

# With what an executor takes to stop, less than the twenty seconds within which this command ends.
DUTIES_END_WITHIN_S, LAST_RELAY_S = 0.5, 3.0


class Command(BaseCommand):
    help = "Carry the runs that are asked for on Kafka, until stopped. Any number of executors may run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--group", default="desk-executors", help="The consumer group; all executors of a desk are in one."
        )
        parser.add_argument(
            "--concurrency",
            type=_count,
            default=settings.CELERY_WORKER_CONCURRENCY,
            help="How many runs it carries at once; WORKER_CONCURRENCY by default.",
        )

    def handle(self, *, group: str, concurrency: int, **options: Any) -> None:
        if settings.EXECUTION_TRANSPORT != "kafka":
            raise CommandError("Runs go by Celery here: set EXECUTION_TRANSPORT=kafka for every process of the desk.")
        if settings.EMBEDDED:
            # Its relay would take the tasks that go by Celery into the memory of a process that carries none of them.
            raise CommandError("Set REDIS_URL or BROKER_URL: only runs go by Kafka, other tasks need a broker too.")
        # Here, so that a desk without Kafka does not load its client.
        from executions.kafka.executor import Executor

        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        executor, background = Executor(group=group, concurrency=concurrency), Background()
        executor.start()
        background.start()
        self.stdout.write(f"Carries {concurrency} runs at once, in the group {group}. Ctrl-C stops it.")
        self.stdout.flush()
        stop.wait()
        executor.stop()
        background.stop(DUTIES_END_WITHIN_S)
        # Runs that were handed over are asked for again at once. Without brokers somebody else's relay will do it.
        last = threading.Thread(target=guarded("last relay", drain), name="last relay", daemon=True)
        last.start()
        last.join(LAST_RELAY_S)
        self.stdout.write("Stopped.")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of runs; it must be 1 or more")
    return int(text)
