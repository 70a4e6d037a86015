"""`manage.py kill_switch on|off|status`: stop and go on from the shell, also without a web server."""

import getpass
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from safety import selectors, services
from safety.models import EVERYTHING
from tradingsite.common.actor import Actor
from tradingsite.common.errors import AppError


class Command(BaseCommand):
    help = "Set, clear or show the kill switch."
    # It must work with a broken configuration elsewhere, and with a database that does not answer.
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=["on", "off", "status"])
        parser.add_argument("--reason", default="", help="why; needed for off")
        parser.add_argument("--scope", default=EVERYTHING, help="'all' (default) or a strategy's id")
        parser.add_argument("--user", help="off: the username of the operator or admin who resumes")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            scope = services.scope_named(options["scope"])
            if options["what"] == "on":
                result = services.kill(actor=_shell(), reason=options["reason"], scope=scope)
                write = self.style.WARNING if result.degraded else self.style.SUCCESS
                self.stdout.write(write(f"{result.detail} Halted by: {', '.join(result.sources)}."))
            elif options["what"] == "off":
                services.resume(actor=_person(options["user"]), reason=options["reason"], scope=scope)
                self.stdout.write(self.style.SUCCESS("Resumed."))
            self._show(scope)
        except AppError as error:
            details = " ".join([error.detail, *(f"{e.pointer}: {e.detail}" for e in error.errors)])
            raise CommandError(f"{error.code}: {details}") from None

    def _show(self, scope: str) -> None:
        state = selectors.kill_status(scope)
        if not state["active"]:
            self.stdout.write(f"{scope}: clear")
            return
        since = f" since {state['since']}" if state["since"] else ""
        by = f" by {state['by']}" if state["by"] else ""
        self.stdout.write(f"{scope}: HALTED{since}{by} ({', '.join(state['sources'])}) {state['reason']}".rstrip())


def _shell() -> Actor:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = "unknown"
    return Actor.system(f"shell of {name}")


def _person(username: str | None) -> Actor:
    if not username:
        raise CommandError("Name the operator or admin who resumes with --user.")
    user = get_user_model().objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"There is no user {username!r}.")
    return Actor.for_user(user)
