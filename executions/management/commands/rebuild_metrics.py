"""`manage.py rebuild_metrics`: count the figures of workflows again from their runs."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from executions.analytics_rebuild import metrics_check, metrics_rebuild
from tradingsite.common.errors import AppError
from tradingsite.common.ids import parse_uuid
from workflows.models import Workflow
from workflows.selectors import workflow_by_name

SHOWN = 50


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date such as 2026-01-05") from None


class Command(BaseCommand):
    help = "Count the figures of workflows by day again from their runs, and write them. With --check, only say what differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--workflow", action="append", help="only the workflow of this name or id; may be repeated")
        parser.add_argument("--since", type=day, help="only days from this date on")
        parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when anything differs")

    def handle(self, *args: Any, workflow: list[str] | None, since: date | None, check: bool, **options: Any) -> None:
        chosen = None if workflow is None else [_workflow(text).pk for text in workflow]
        if not check:
            days = metrics_rebuild(workflow_ids=chosen, since=since)
            self.stdout.write(self.style.SUCCESS(f"{days} days counted again."))
            return
        found = 0
        for difference in metrics_check(workflow_ids=chosen, since=since):
            found += 1
            if found <= SHOWN:
                self.stdout.write(str(difference))
        if found:
            raise CommandError(f"{found} figures differ from the runs. Run without --check to write them anew.")
        self.stdout.write(self.style.SUCCESS("Everything adds up."))


def _workflow(text: str) -> Workflow:
    try:
        key = parse_uuid(text, "workflow")
    except AppError:
        key = None
    try:
        row = Workflow.objects.filter(pk=key).first() if key is not None else None
        return row or workflow_by_name(text)
    except AppError as error:
        raise CommandError(error.detail) from None
