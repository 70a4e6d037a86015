"""`manage.py rebuild_positions`: count positions and cash again from the fills."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from portfolio import services
from portfolio.models import Account
from tradingsite.common.actor import Actor


class Command(BaseCommand):
    help = "Count positions and cash again from the fills, and write what differs. With --check, only say what differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when anything differs")
        parser.add_argument("--account", help="only the account of this name")

    def handle(self, *args: Any, check: bool, account: str | None, **options: Any) -> None:
        accounts = Account.objects.all() if account is None else Account.objects.filter(name=account)
        if account is not None and not accounts:
            raise CommandError(f"There is no account named {account!r}.")
        found = 0
        for each in accounts:
            if check:
                differences = services.positions_check(account=each)
            else:
                differences = services.positions_rebuild(actor=Actor.system("rebuild_positions"), account=each)
            for difference in differences:
                self.stdout.write(str(difference))
            found += len(differences)
        if check and found:
            raise CommandError(f"{found} figures differ from the fills. Run without --check to write them anew.")
        self.stdout.write(self.style.SUCCESS(f"{found} figures rewritten." if found else "Everything adds up."))
