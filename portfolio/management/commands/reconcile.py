"""`manage.py reconcile`: hold accounts against their brokers, and let one trade again once somebody has looked."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from portfolio import services
from portfolio.management.people import person_named
from portfolio.models import Account
from safety import selectors as safety
from safety.services import reconciliation_clear_by_person
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.errors import AppError

ACTOR = Actor.system("manage.py reconcile")


class Command(BaseCommand):
    help = (
        "Hold orders, positions and cash against the broker's; exit 1 when anything differed or a broker did not answer. "
        "With --clear, let an account trade again: an operator or admin has looked at these differences, and the books "
        "agree now."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", help="only the account of this name")
        parser.add_argument("--clear", nargs="+", metavar="CODE", help="which blocks of --account to take away")
        parser.add_argument("--user", help="with --clear: the username of the operator or admin who has looked")
        parser.add_argument("--reason", default="", help="with --clear: what it was")

    def handle(
        self,
        *args: Any,
        account: str | None,
        clear: Sequence[str] | None,
        user: str | None,
        reason: str,
        **options: Any,
    ) -> None:
        accounts = list(Account.objects.all() if account is None else Account.objects.filter(name=account))
        if account is not None and not accounts:
            raise CommandError(f"There is no account named {account!r}.")
        if clear is not None:
            if account is None or not user or not reason.strip():
                raise CommandError("--clear needs --account, --user and --reason.")
            return self._clear(accounts[0], clear, person_named(user), reason)
        results = [services.account_reconcile(actor=ACTOR, account=each, wall=utcnow()) for each in accounts]
        wrong = self._show(results)
        self._show_blocks(accounts)
        if wrong:
            raise CommandError(f"{wrong} of {len(results)} accounts differed from their brokers or could not be read.")
        self.stdout.write(self.style.SUCCESS("The books agree."))

    def _clear(self, account: Account, codes: Sequence[str], actor: Actor, reason: str) -> None:
        try:
            left = reconciliation_clear_by_person(actor=actor, account_id=account.pk, codes=codes, reason=reason)
        except AppError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(self.style.SUCCESS(f"Cleared {', '.join(codes)} of {account.name}."))
        if left:
            self._show_blocks([account])

    def _show(self, results: Sequence[services.Reconciliation]) -> int:
        table = Table("account", "code", "what")
        for result in results:
            if result.problem:
                table.add_row(result.account, "not compared", result.problem)
            for each in result.differences:
                table.add_row(result.account, each.kind.value, str(each))
            for line in result.adopted:
                table.add_row(result.account, "taken over", line)
        if table.row_count:
            self._print(table)
        return sum(bool(result.differences) or not result.compared for result in results)

    def _show_blocks(self, accounts: Sequence[Account]) -> None:
        table = Table("blocked account", "code", "since", "why")
        for account in accounts:
            for block in safety.reconciliation_blocks(account_id=account.pk):
                table.add_row(account.name, block.code, rfc3339(block.since), block.story)
        if table.row_count:
            self._print(table)

    def _print(self, table: Table) -> None:
        out: Any = self.stdout  # writes like a file without being one
        # Wide where there is no terminal, so that nothing is cut.
        Console(file=out, soft_wrap=True, width=None if out.isatty() else 200).print(table)
