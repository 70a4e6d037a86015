"""`manage.py optimize`: search for a strategy's parameters, and on request wait and show what came of it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Column, Table

from market.management.report import console_on, faults_as_command_errors
from optimize import services
from optimize.api.serializers import OptimizeStrategySerializer
from optimize.choices import JobKind
from optimize.management.following import carried, failed, follow
from optimize.models import OptimizationJob
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import validated

COLUMNS = (
    ("t_stat", "t", ".2f"),
    ("mean_oos_sharpe", "Sharpe, out", ".2f"),
    ("is_sharpe", "Sharpe, in", ".2f"),
    ("oos_return", "return, out", ".1%"),
    ("max_drawdown", "drawdown", ".1%"),
    ("trades", "trades", ".0f"),
    ("win_rate", "won", ".0%"),
)


class Command(BaseCommand):
    help = (
        "Search for a strategy type's parameters by walk-forward. With --wait: draw the progress, carry the job here when "
        "no worker is alive, and print the best combinations and the verdict."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("strategy_type", help="A slug, such as momentum.")
        parser.add_argument("symbols", help="AAPL,IBM")
        parser.add_argument("start", help="A date; bars before it warm the indicators.")
        parser.add_argument("end", help="A date, itself included.")
        parser.add_argument(
            "--grid",
            nargs="+",
            default=[],
            metavar="NAME=1,2,3",
            help="Values to try; the type's own grid unless told.",
        )
        parser.add_argument("--splits", type=int, default=5, help="Folds of the walk-forward.")
        parser.add_argument("--train-ratio", type=float, default=0.7)
        parser.add_argument("--anchored", action="store_true")
        parser.add_argument("--embargo", type=int, default=0, help="Bars between training and test.")
        parser.add_argument("--objective", default="sharpe")
        parser.add_argument("--search", default="grid", help="grid, random or tpe")
        parser.add_argument("--max-trials", type=int)
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--timeframe", default="1d")
        parser.add_argument("--source")
        parser.add_argument("--fee", type=float, default=0.0, help="Of the notional of every fill.")
        parser.add_argument("--slippage", type=float, default=0.0, help="Of the price, against you.")
        parser.add_argument("--direction", default="long_only", help="long_only or long_short")
        parser.add_argument("--wait", action="store_true", help="Wait for the end; exit 0 only for a complete job.")
        parser.add_argument("--timeout", type=float, default=3600.0, help="Seconds to wait at most.")
        parser.add_argument("--top", type=int, default=10, help="Rows of the table.")

    def handle(self, **given: Any) -> None:
        console = console_on(self.stdout)
        with faults_as_command_errors():
            body = validated(OptimizeStrategySerializer, _body(given))
            job = services.job_create(actor=Actor.system("optimize"), kind=JobKind.STRATEGY, body=body)
        console.print(
            f"Optimisation {job.pk}: {job.total_combinations} combinations of {job.strategy_type}", markup=False
        )
        if not given["wait"]:
            return
        with carried(job) as here:
            if here:
                console.print("No worker is alive: it is carried here.")
            job = follow(job, console, given["timeout"])
        reason = failed(job)
        if reason is not None:
            raise CommandError(reason)
        show(console, job, given["top"])


def _body(given: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "strategy_type": given["strategy_type"],
        "symbols": [symbol.strip() for symbol in given["symbols"].split(",") if symbol.strip()],
        "start": given["start"],
        "end": given["end"],
        "timeframe": given["timeframe"],
        "source": given["source"],
        "n_splits": given["splits"],
        "train_ratio": given["train_ratio"],
        "anchored": given["anchored"],
        "embargo": given["embargo"],
        "objective": given["objective"],
        "search": given["search"],
        "max_trials": given["max_trials"],
        "seed": given["seed"],
        "costs": {"fee": given["fee"], "slippage": given["slippage"]},
        "direction": given["direction"],
    }
    if given["grid"]:
        body["param_grid"] = dict(_axis(text) for text in given["grid"])
    return body


def _axis(text: str) -> tuple[str, list[Any]]:
    """Read `fast=5,10`: numbers where they are numbers, true and false, otherwise text.

    Raises:
        CommandError: there is no `=` in it.
    """
    name, equals, values = text.partition("=")
    if not equals:
        raise CommandError(f"--grid takes NAME=1,2,3, not {text!r}.")
    return name, [_value(value.strip()) for value in values.split(",")]


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def show(console: Console, job: OptimizationJob, top: int) -> None:
    """Print the best combinations and what is to be thought of them."""
    result: dict[str, Any] = job.result or {}
    rows = [
        (row, ", ".join(f"{name} {value}" for name, value in row["params"].items())) for row in result["results"][:top]
    ]
    width = min(60, max((len(params) for _, params in rows), default=0))
    table = Table("#", Column("parameters", min_width=width), *(title for _, title, _ in COLUMNS))
    for row, params in rows:
        figures = ("–" if row[name] is None else format(row[name], how) for name, _, how in COLUMNS)
        table.add_row(str(row["rank"]), params, *figures)
    console.print(table)
    verdict = result["verdict"]
    console.print(f"Verdict: {verdict['outcome']}", style="bold")
    for reason in verdict["reasons"]:
        console.print(f"  {reason['code']}: {reason['text']}", markup=False)
