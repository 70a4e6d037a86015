"""`manage.py schedules`: list, next, run, start and stop schedules from the shell."""

import io
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from scheduler import selectors, services
from scheduler.models import Schedule
from scheduler.rules import in_words, next_times
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.errors import AppError

ACTOR = Actor.system("manage.py schedules")


class Command(BaseCommand):
    help = "List schedules and their next times, fire one now, start and stop one."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list | next | run | pause | start")
        verbs.add_parser("list", help="every schedule with its status, next time and last result")
        following = verbs.add_parser("next", help="the next times of all, or of one")
        following.add_argument("schedule", nargs="?", help="name or id")
        following.add_argument("--count", type=int, default=10)
        for verb, text in (("run", "fire one now"), ("pause", "let one fire no more"), ("start", "let it fire again")):
            verbs.add_parser(verb, help=text).add_argument("schedule", help="name or id")

    def handle(self, *, verb: str, **options: Any) -> None:
        actions: dict[str, Callable[..., None]] = {
            "list": self._list, "next": self._next, "run": self._run, "pause": self._pause, "start": self._start,
        }  # fmt: skip
        try:
            actions[verb](**options)
        except AppError as error:
            raise CommandError(error.detail) from None

    def _find(self, text: str) -> Schedule:
        rows = selectors.schedules_listed()
        row = rows.filter(name=text).first() or next((row for row in rows if str(row.pk) == text.lower()), None)
        if row is None:
            raise CommandError(f"There is no schedule {text!r}; `manage.py schedules list` shows them.")
        return row

    def _list(self, **_: Any) -> None:
        clock = selectors.clock_status()
        self.stdout.write(f"The clock is {clock['status']}; {len(clock['beats'])} processes keep it.")
        rows = list(selectors.schedules_listed())
        if not rows:
            self.stdout.write("There are no schedules. Create one with POST /api/scheduler.")
            return
        table = Table("name", "job", "when", "status", "next", "last", "result")
        for row in rows:
            table.add_row(
                row.name, row.job_type, in_words(row), selectors.schedule_status(row),
                rfc3339(row.next_run_at) if row.next_run_at else "", rfc3339(row.last_run_at) if row.last_run_at else "",
                row.last_status,
            )  # fmt: skip
        text = io.StringIO()
        Console(file=text, width=160).print(table)
        self.stdout.write(text.getvalue())

    def _next(self, *, schedule: str | None, count: int, **_: Any) -> None:
        if not 1 <= count <= 1000:
            raise CommandError("--count must be from 1 to 1000.")
        rows = [self._find(schedule)] if schedule else [row for row in selectors.schedules_listed() if row.enabled]
        now = utcnow()
        times = sorted((moment, row.name) for row in rows for moment in next_times(row, now, count))
        for moment, name in times[:count]:
            self.stdout.write(f"{rfc3339(moment)}  {name}")

    def _run(self, *, schedule: str, **_: Any) -> None:
        fire = services.schedule_run(actor=ACTOR, schedule_id=self._find(schedule).pk)
        self.stdout.write(f"Fired: {fire.status}" + (f", run {fire.run_id}" if fire.run_id else ""))

    def _pause(self, *, schedule: str, **_: Any) -> None:
        services.schedule_switch(actor=ACTOR, schedule_id=self._find(schedule).pk, enabled=False)
        self.stdout.write("Paused.")

    def _start(self, *, schedule: str, **_: Any) -> None:
        row = services.schedule_switch(actor=ACTOR, schedule_id=self._find(schedule).pk, enabled=True)
        self.stdout.write(f"Started; next at {rfc3339(row.next_run_at) if row.next_run_at else 'no time'}.")
