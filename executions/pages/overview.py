"""The overview: the account, what protects it, and what happened last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from executions.pages.runs import runs_newest
from executions.templatetags.desk import money, percent
from portfolio import selectors as portfolio
from portfolio.errors import AccountMissing
from portfolio.models import Account
from safety import drawdown
from safety import selectors as safety
from workflows.models import Strategy

LAST = 8
CURVE_POINTS = 1000


@dataclass(frozen=True)
class LimitRow:
    """One limit and how much of it is used today; `share` is 0..100, None for a limit that nothing uses up."""

    label: str
    limit_text: str
    used: Decimal | None = None
    used_text: str = ""
    share: int | None = None
    tone: str = ""


@dataclass(frozen=True)
class StopRow:
    """What stops one account: a word for the badge, the account's name, a code and what was found."""

    word: str
    account: str
    code: str
    detail: str


def overview(wall: datetime) -> dict[str, Any]:
    """Return the overview at `wall`; without an account it says what to do next and shows the rest."""
    status = safety.safety_status()
    return {
        **_account(wall),
        "safety": status,
        "limits": limit_rows(status),
        "strategy_switches": _strategy_switches(status["killed_strategies"]),
        "account_stops": _account_stops(status),
        "runs": runs_newest(LAST),
        "alerts": safety.alert_history()[:LAST],
        "verdicts": safety.decisions().filter(preview=False)[:LAST],
    }


def _strategy_switches(switches: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is stopped and why; a strategy by its name where the desk has it."""
    names = _names(Strategy, [switch["strategy_id"] for switch in switches])
    found = [(names.get(switch["strategy_id"], switch["strategy_id"]), switch["reason"]) for switch in switches]
    return [f"{name}: {reason}" if reason else name for name, reason in found]


def _account_stops(status: Mapping[str, Any]) -> list[StopRow]:
    """Return which accounts take no orders, or only those that reduce, while the desk itself is open."""
    blocks = status["reconciliation_blocks"]
    tripped = [each for each in status["breakers"] if each["level"] in drawdown.LATCHED]
    names = _names(Account, [str(each["account_id"]) for each in (*blocks, *tripped)])
    return [
        *(
            StopRow("Account blocked", names.get(each["account_id"], ""), each["code"], each["detail"])
            for each in blocks
        ),
        *(
            StopRow("Breaker", names.get(each["account_id"], ""), "", f"{percent(each['drawdown'])} below its peak")
            for each in tripped
        ),
    ]


def _names(model: type[Account] | type[Strategy], ids: Sequence[str]) -> dict[str, str]:
    if not ids:
        return {}
    return {str(pk): name for pk, name in model.objects.filter(pk__in=ids).values_list("pk", "name")}


def _account(wall: datetime) -> dict[str, Any]:
    try:
        account = portfolio.account_default()
    except AccountMissing as missing:
        return {"account": None, "account_problem": missing.detail}
    summary = portfolio.account_summary(account, wall)
    points = _curve(account, summary)
    equity = summary["equity"]
    return {
        "account": summary,
        "total_pnl": summary["total_pnl"],
        "exposure_share": summary["gross_exposure"] / equity if equity > 0 else None,
        # The chart's numbers are for drawing only; every figure that is read comes from the summary.
        "curve": [[int(point.at.timestamp()), float(point.equity)] for point in points],
        "curve_first": points[0],
        "curve_last": points[-1],
    }


@dataclass(frozen=True)
class CurvePoint:
    """What the account was worth at a moment."""

    at: datetime
    equity: Decimal


def _curve(account: Account, summary: Mapping[str, Any]) -> list[CurvePoint]:
    """Return the recorded points between the account's beginning and now, so that the first fill already draws a line."""
    recorded = portfolio.equity_curve(account, limit=CURVE_POINTS)
    points = [CurvePoint(point.at, point.equity) for point in recorded]
    if len(recorded) < CURVE_POINTS:
        points.insert(0, CurvePoint(account.created_at, account.starting_cash))
    if summary["valued"]:
        points.append(CurvePoint(summary["as_of"], summary["equity"]))
    return points


def limit_rows(status: Mapping[str, Any]) -> list[LimitRow]:
    """Return the limits of `safety_status()` as lines with their use today."""
    limits = status["limits"]
    return [
        _used("Orders today", limits["daily_trade_limit"], plain=True),
        _used("Largest order today", limits["order_notional_limit"]),
        _used("Largest position today", limits["position_limit"]),
        _used("All positions together today", limits["exposure_limit"]),
        _used("Orders in the last minute", limits["order_rate_limit"], plain=True),
        LimitRow("Same order again after", f"{status['duplicate_window_s']} s"),
        LimitRow("Orders go to", "Paper only" if status["paper_mode"] else "Paper and live"),
    ]


def _used(label: str, limit: Mapping[str, Any], *, plain: bool = False) -> LimitRow:
    most, used = Decimal(str(limit["limit"])), Decimal(str(limit["used_today"] or 0))
    share = 100 if most <= 0 else min(100, int(used * 100 / most))
    text = str if plain else money
    return LimitRow(
        label=label,
        limit_text=text(most),
        used=used,
        used_text=text(used),
        share=share,
        tone="bad" if share >= 100 else "careful" if share >= 80 else "",
    )
