"""`manage.py setup`: migrate, and make what a new desk needs."""

from typing import Any

from django.core.management.base import BaseCommand

from executions.setup import desk_setup


class Command(BaseCommand):
    help = "Migrate, load the sample prices and a generated SPY, make the demo desk and the admin. Adds nothing twice."

    def handle(self, **options: Any) -> None:
        report = desk_setup(write=self.stdout.write)
        if report.password:
            self.stdout.write(f"user admin, password {report.password}")
        self.stdout.write("The desk is set up.")
