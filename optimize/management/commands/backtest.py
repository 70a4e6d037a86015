"""`manage.py backtest`: what a saved strategy would have done in a period, as a table."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from market.management.report import console_on, faults_as_command_errors
from optimize.api.inspection_shapes import BacktestSerializer
from optimize.inspection.backtest import backtest
from tradingsite.common.api.serializers import validated
from tradingsite.common.errors import ValidationFailed
from tradingsite.common.ids import parse_uuid
from workflows.models import Strategy

FIGURES = (
    ("total_return", "return", ".1%"),
    ("annual_return", "a year", ".1%"),
    ("sharpe", "Sharpe", ".2f"),
    ("max_drawdown", "drawdown", ".1%"),
    ("trades", "trades", ".0f"),
    ("win_rate", "won", ".0%"),
    ("profit_factor", "profit factor", ".2f"),
    ("exposure", "in the market", ".0%"),
)


class Command(BaseCommand):
    help = "Back-test a saved strategy over a period, beside buying and holding."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("strategy", help="Name or id.")
        parser.add_argument("start", help="A date; bars before it warm the indicators.")
        parser.add_argument("end", help="A date, itself included.")
        parser.add_argument("--symbols", default="", help="AAPL,IBM; the strategy's own unless told.")
        parser.add_argument("--fee", type=float, default=0.0, help="Of the notional of every fill.")
        parser.add_argument("--slippage", type=float, default=0.0, help="Of the price, against you.")
        parser.add_argument("--cash", type=float, default=10_000.0, help="Of each symbol's account.")
        parser.add_argument("--direction", default="long_only", help="long_only or long_short")
        parser.add_argument("--trades", type=int, default=0, metavar="N", help="Show the last N trades too.")

    def handle(self, **given: Any) -> None:
        console = console_on(self.stdout)
        body: dict[str, Any] = {
            "start": given["start"],
            "end": given["end"],
            "costs": {"fee": given["fee"], "slippage": given["slippage"]},
            "initial_cash": given["cash"],
            "direction": given["direction"],
        }
        if given["symbols"]:
            body["symbols"] = [symbol.strip() for symbol in given["symbols"].split(",") if symbol.strip()]
        with faults_as_command_errors(), console.status("Trading ..."):
            strategy = _strategy(given["strategy"])
            found = backtest(strategy=strategy, body=validated(BacktestSerializer, body))
        _show(console, found, given["trades"])


def _strategy(words: str) -> Strategy:
    rows = Strategy.objects.alive().select_related("workflow", "workflow__current_version")
    found = rows.filter(name=words).first()
    if found is None:
        try:
            found = rows.filter(pk=parse_uuid(words, "strategy")).first()
        except ValidationFailed:
            found = None
    if found is None:
        raise CommandError(f"There is no strategy {words!r}.")
    return found


def _told(figures: dict[str, Any]) -> list[str]:
    return ["–" if figures.get(name) is None else format(figures[name], how) for name, _, how in FIGURES]


def _show(console: Console, found: dict[str, Any], trades: int) -> None:
    params = ", ".join(f"{name} {value}" for name, value in found["params"].items())
    console.print(f"{found['strategy_type']} ({params}), {found['start'][:10]} to {found['end'][:10]}", markup=False)
    table = Table("", *(title for _, title, _ in FIGURES))
    for one in found["symbols"]:
        table.add_row(one["symbol"], *_told(one["statistics"]))
    if len(found["symbols"]) > 1:
        table.add_row("together", *_told(found["statistics"]), style="bold")
    table.add_row("bought and held", *_told(found["benchmark"]), style="dim")
    console.print(table)
    costs = found["costs"]
    console.print(
        f"{costs['fills']} fills cost {costs['fees']:,.2f} in fees and {costs['slippage']:,.2f} in slippage, "
        f"{costs['share_of_cash']:.1%} of the cash."
    )
    if found["drawdowns"]:
        worst = found["drawdowns"][0]
        over = f"over on {worst['recovered_at'][:10]}" if worst["recovered_at"] else "not over at the end"
        console.print(f"The deepest fall, {worst['depth']:.1%}, began on {worst['peak_at'][:10]} and was {over}.")
    skipped = sum(one["bars_skipped"] for one in found["symbols"])
    if skipped:
        console.print(f"{skipped} bars without a price said nothing.")
    if trades:
        console.print(_trades(found["trades"][-trades:]))
    for note in found["notes"]:
        console.print(f"note: {note}", markup=False)


def _trades(rows: list[dict[str, Any]]) -> Table:
    table = Table("symbol", "side", "from", "to", "entry", "exit", "profit", "return", "why")
    for row in rows:
        table.add_row(
            row["symbol"],
            row["side"],
            row["entry_at"][:10],
            (row["exit_at"] or "")[:10],
            f"{row['entry_price']:.6g}",
            "" if row["exit_price"] is None else f"{row['exit_price']:.6g}",
            f"{row['profit']:,.2f}",
            f"{row['return']:.1%}",
            row["reason"] or "open",
        )
    return table
