"""`manage.py rebuild_positions`: count positions and cash again from the fills."""

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from portfolio import services
from portfolio.models import Account
from tradingsite.common.actor import Actor
from tradingsite.common.decimals import decimal_string


class Command(BaseCommand):
    help = "Count positions and cash again from the fills, and write what differs. With --check, only say what differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when anything differs")
        parser.add_argument("--account", help="only the account of this name")

    def handle(self, *args: Any, check: bool, account: str | None, **options: Any) -> None:
        accounts = Account.objects.all() if account is None else Account.objects.filter(name=account)
        if account is not None and not accounts:
            raise CommandError(f"There is no account named {account!r}.")
        found: list[services.Difference] = []
        for each in accounts:
            if check:
                found += services.positions_check(account=each)
            else:
                found += services.positions_rebuild(actor=Actor.system("rebuild_positions"), account=each)
        if found:
            self._show(found)
        if check and found:
            raise CommandError(f"{len(found)} figures differ from the fills. Run without --check to write them anew.")
        self.stdout.write(self.style.SUCCESS(f"{len(found)} figures rewritten." if found else "Everything adds up."))

    def _show(self, differences: Iterable[services.Difference]) -> None:
        table = Table("account", "symbol", "figure", "stored", "by the fills", "difference")
        for each in differences:
            figures = (each.stored, each.rebuilt, each.stored - each.rebuilt)
            table.add_row(each.account, each.symbol, each.field, *map(decimal_string, figures))
        out: Any = self.stdout  # writes like a file without being one
        # Wide where there is no terminal, so that no figure is cut.
        Console(file=out, soft_wrap=True, width=None if out.isatty() else 160).print(table)
