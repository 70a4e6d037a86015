"""`manage.py kill_switch on|off|status|drill`: stop and go on from the shell, also without a web server."""

import getpass
import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from uuid import UUID

import httpx
from django.core.management.base import BaseCommand, CommandError

from portfolio.drill import DrillReport, kill_drill
from portfolio.drill_processes import orders_send
from portfolio.management.people import person_named
from safety import killswitch, selectors, services
from safety.models import EVERYTHING
from safety.progress import progress_said
from tradingsite.common.actor import Actor
from tradingsite.common.errors import AppError
from tradingsite.common.ids import parse_uuid

TOKEN = "DESK_TOKEN"


class Command(BaseCommand):
    help = "Set, clear, show or try the kill switch."
    # It must work with a broken configuration elsewhere, and with a database that does not answer.
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        # `send` is what a drill starts in each of its processes.
        parser.add_argument("what", choices=["on", "off", "status", "drill", "send"], metavar="on|off|status|drill")
        parser.add_argument("--reason", default="", help="why; needed for off")
        parser.add_argument("--scope", default=EVERYTHING, help="'all' (default) or a strategy's id")
        parser.add_argument("--flatten", action="store_true", help="on: close the scope's positions as well")
        parser.add_argument("--user", help="off, drill: the username of the operator or admin who resumes")
        parser.add_argument("--processes", type=_count(16), default=4, help="drill: how many send orders")
        parser.add_argument("--kills", type=_count(50), default=3, help="drill: how many times")
        parser.add_argument("--url", help=f"drill: kill through this desk's API, with the token in {TOKEN}")
        parser.add_argument("--json", action="store_true", help="drill: print the figures as JSON alone")
        parser.add_argument("--account", default="", help="of a drill's process")
        parser.add_argument("--symbol", default="", help="of a drill's process")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            scope = services.scope_named(options["scope"])
            match options["what"]:
                case "on":
                    self._on(scope, options)
                case "off":
                    services.resume(actor=_person(options["user"]), reason=options["reason"], scope=scope)
                    self.stdout.write(self.style.SUCCESS("Resumed."))
                    self._show(selectors.kill_status(scope))
                case "status":
                    self._show(selectors.kill_status(scope))
                case "drill":
                    self._drill(options)
                case "send":
                    orders_send(
                        account_id=parse_uuid(options["account"], "account"),
                        symbol=options["symbol"],
                        strategy_id=parse_uuid(scope, "scope"),
                        told=sys.stdin,
                        say=sys.stdout,
                    )
        except AppError as error:
            details = " ".join([error.detail, *(f"{e.pointer}: {e.detail}" for e in error.errors)])
            raise CommandError(f"{error.code}: {details}") from None

    def _on(self, scope: str, options: dict[str, Any]) -> None:
        result = services.kill(actor=_shell(), reason=options["reason"], scope=scope, flatten=options["flatten"])
        write = self.style.WARNING if result.degraded else self.style.SUCCESS
        self.stdout.write(write(f"{result.detail} Halted by: {', '.join(result.sources)}."))
        by_database = killswitch.DATABASE in result.sources
        self._show(selectors.kill_status(scope) if by_database else selectors.kill_status_by_file(scope))

    def _show(self, state: dict[str, Any]) -> None:
        scope, sweep = state["scope"], state["sweep"]
        if not state["active"]:
            self.stdout.write(f"{scope}: clear")
        else:
            since = f" since {state['since']}" if state["since"] else ""
            by = f" by {state['by']}" if state["by"] else ""
            self.stdout.write(f"{scope}: HALTED{since}{by} ({', '.join(state['sources'])}) {state['reason']}".rstrip())
        if sweep is not None and (state["active"] or not sweep["confirmed_at"]):
            self.stdout.write(f"  {progress_said(sweep)}")

    def _drill(self, options: dict[str, Any]) -> None:
        quiet = options["json"]
        report = kill_drill(
            actor=_person(options["user"]),
            processes=options["processes"],
            kills=options["kills"],
            call=_through(options["url"]) if options["url"] else None,
            say=(lambda line: None) if quiet else self.stdout.write,
        )
        self.stdout.write(json.dumps(asdict(report)) if quiet else _figures(report))
        if not report.passed:
            raise CommandError("The kill switch did not keep its promise.")


def _figures(report: DrillReport) -> str:
    confirmed = "never" if report.confirmed_in_s is None else f"{report.confirmed_in_s:.2f} s"
    return "\n".join(
        [
            f"{report.kills} kills under {report.processes} processes, {report.orders} orders",
            f"  answered within          {report.answered_in_s:.3f} s",
            f"  last order after call    {report.from_call_p99_s:.3f} s (p99)",
            f"  last order after answer  {report.last_order_p99_s:.3f} s (p99), {report.last_order_max_s:.3f} s (max)",
            f"  every process denied     {report.denied_in_s:+.3f} s from the answer",
            f"  nothing rests, confirmed {confirmed} ({report.cancelled} orders cancelled)",
            "passed" if report.passed else "FAILED",
        ]
    )


def _through(url: str) -> Callable[[UUID], None]:
    """Return a kill through the API of a desk."""
    token = os.environ.get(TOKEN)
    if not token:
        raise CommandError(f"Put a bearer token of an operator into {TOKEN}.")

    def call(strategy_id: UUID) -> None:
        try:
            answer = httpx.post(
                f"{url.rstrip('/')}/api/safety/kill",
                json={"scope": str(strategy_id), "reason": "kill switch drill"},
                headers={"Authorization": f"Bearer {token}"},
                timeout=30,
            )
        except httpx.HTTPError as error:
            raise CommandError(f"{url} does not answer: {error}") from None
        if answer.status_code != 200:
            raise CommandError(f"{url} answered {answer.status_code}: {answer.text[:200]}")

    return call


def _count(most: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        number = int(text)
        if not 1 <= number <= most:
            raise ValueError(text)
        return number

    return count


def _shell() -> Actor:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = "unknown"
    return Actor.system(f"shell of {name}")


def _person(username: str | None) -> Actor:
    if not username:
        raise CommandError("Name the operator or admin who resumes with --user.")
    return person_named(username)
