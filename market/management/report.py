"""Import reports in the terminal, and errors with every fault on its line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError
from rich.console import Console
from rich.table import Table

from market.models import BarImport
from tradingsite.common.errors import AppError


def console_on(out: Any) -> Console:
    """Return a console on a command's output; wide where there is no terminal, so that no figure is cut."""
    return Console(file=out, soft_wrap=True, width=None if out.isatty() else 140)


def show(console: Console, done: BarImport) -> None:
    """Print what an import did."""
    report: dict[str, Any] = done.report
    table = Table("symbol", "source", "bars of", "adjustment", "first", "last", "bars", "added", "replaced", "version")
    for row in report["series"]:
        table.add_row(
            row["symbol"],
            row["source"],
            row["timeframe"],
            row["adjustment"],
            (row["first_at"] or "")[:10],
            (row["last_at"] or "")[:10],
            str(row["bars"]),
            str(row["added"]),
            str(row["replaced"]),
            str(row["version"]),
        )
    console.print(table)
    console.print(
        f"{report['rows']} rows read, {report['added']} bars added, {report['replaced']} replaced, "
        f"{report['unchanged']} were there; {report['duplicates']} duplicates, {report['rounded']} rounded ranges."
    )
    for warning in report["warnings"]:
        where = " ".join(filter(None, (warning.get("symbol"), warning.get("adjustment"))))
        dates = warning.get("dates") or []
        named = f" ({', '.join(dates[:5])}{', …' if len(dates) > 5 else ''})" if dates else ""
        console.print(f"warning: {where}: {warning['detail']}{named}", markup=False)


@contextmanager
def faults_as_command_errors() -> Iterator[None]:
    """Turn a refusal into a message with all its faults and exit code 1.

    Raises:
        CommandError: in place of any coded error.
    """
    try:
        yield
    except AppError as error:
        lines = [str(error), *(f"  {problem.pointer}: {problem.detail}" for problem in error.errors)]
        raise CommandError("\n".join(lines)) from None
