"""What the agent sees before it thinks: prices, pinned as for any run, and how its account and the desk stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents.autonomous.models import AgentRun
from agents.autonomous.selectors import proposals_pending
from market.steps import MarketDataStep
from portfolio import goal_selectors
from portfolio.errors import EquityNotPositive
from portfolio.selectors import account_summary
from safety.selectors import alert_history, safety_status
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.steps import StepContext, StepError, step_types
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import AppError
from workflows.definitions import ResolvedStep, config_typed
from workflows.models import Strategy
from workflows.selectors import executable

PRICES = "market_data"
ALERTS_SHOWN, PROPOSALS_SHOWN = 20, 50


@dataclass(frozen=True)
class StrategyPlan:
    """The part of a strategy that decides: its steps up to the last that only reads.

    Attributes:
        refusal: why it cannot be asked, as code and detail.
    """

    id: str
    name: str
    symbols: tuple[str, ...]
    steps: tuple[ResolvedStep, ...] = ()
    params: Mapping[str, Any] | None = None
    refusal: tuple[str, str] | None = None


def strategy_plans(ids: Sequence[str], symbols: Sequence[str]) -> list[StrategyPlan]:
    """Return how each of these strategies would decide about those of the symbols that are its own."""
    rows = {str(row.pk): row for row in Strategy.objects.select_related("workflow__current_version").filter(pk__in=ids)}
    plans = []
    for each in ids:
        row = rows.get(str(each))
        if row is None or row.deleted_at is not None:
            name = row.name if row is not None else str(each)
            plans.append(StrategyPlan(str(each), name, tuple(symbols), refusal=("STRATEGY_MISSING", "It is deleted.")))
        else:
            plans.append(_plan(row, symbols))
    return plans


def _plan(row: Strategy, symbols: Sequence[str]) -> StrategyPlan:
    own = tuple(symbol for symbol in symbols if symbol in row.symbols) if row.symbols else tuple(symbols)
    plan = StrategyPlan(str(row.pk), row.name, own)
    try:
        made = executable(
            workflow_version=row.workflow.current_version if row.workflow else None, strategy=row, input_data={}
        )
    except AppError as error:
        return replace(plan, refusal=(error.code, error.detail))
    deciding = tuple(step for step in made.steps if step_types.get(step.type).reads_only)
    if not any("decisions" in step_types.get(step.type).puts_out for step in deciding):
        detail = "It decides by something that cannot be asked beside a run of its own, such as a team."
        return replace(plan, refusal=("STRATEGY_NOT_ASKABLE", detail))
    return replace(plan, steps=deciding, params=made.params)


def observe(context: StepContext, run: AgentRun) -> dict[str, Any]:
    """Return the phase's output: `series` by symbol as `market_data` pins it, `strategies`, `desk`, `observations`."""
    plans = strategy_plans(run.config["strategies"], run.symbols)
    strategies: list[dict[str, Any]] = []
    series: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    for plan in plans:
        own: dict[str, Any] = {}
        if plan.refusal is None and plan.symbols:
            first = next((step for step in plan.steps if step.type == PRICES), None)
            pinned = _pinned(context, plan.symbols, {} if first is None else first.config)
            own = pinned["series"]
            skipped |= pinned["skipped"]
        for symbol, pin in own.items():
            series.setdefault(symbol, pin)
        strategies.append({"id": plan.id, "name": plan.name, "symbols": list(plan.symbols), "series": own})
    rest = tuple(symbol for symbol in run.symbols if symbol not in series)
    if rest:
        pinned = _pinned(context, rest, {})
        series |= pinned["series"]
        skipped = {**skipped, **pinned["skipped"]}
    skipped = {symbol: why for symbol, why in skipped.items() if symbol not in series}
    if not series:
        raise StepError(
            "None of the symbols has market data: " + "; ".join(f"{symbol}: {why}" for symbol, why in skipped.items()),
            code="NO_MARKET_DATA",
        )
    context.check()
    desk = desk_facts(run)
    return {
        "series": series,
        "skipped": skipped,
        "strategies": strategies,
        "desk": desk,
        "observations": _observations(series, skipped, desk),
    }


def _pinned(context: StepContext, symbols: tuple[str, ...], config: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a `market_data` step of this config does; no prices for any symbol is an answer here."""
    inner = replace(context, symbols=symbols, config=config_typed(PRICES, config), progress=lambda done: None)
    try:
        return dict(MarketDataStep().run(inner).output)
    except StepError as error:
        return {"series": {}, "skipped": dict.fromkeys(symbols, error.detail)}


def desk_facts(run: AgentRun) -> dict[str, Any]:
    """Return how the account and the desk stand, JSON-able."""
    now = utcnow()
    account = run.account
    worth = account_summary(account, now)
    safety = safety_status()
    alerts = alert_history().filter(acknowledged_at__isnull=True)[:ALERTS_SHOWN]
    return {
        "account": account.name,
        "currency": account.currency,
        **{name: decimal_string(worth[name]) for name in ("equity", "cash", "cash_reserved", "day_pnl")},
        "drawdown": worth["drawdown"],
        "positions": [
            {
                "symbol": each["symbol"],
                "quantity": decimal_string(each["quantity"]),
                "average_price": decimal_string(each["average_price"]),
                "value": decimal_string(each["value"]),
                "unrealized_pnl": decimal_string(each["unrealized_pnl"]),
            }
            for each in worth["positions"]
        ],
        "trading_state": safety["trading_state"],
        "kill_switch": bool(safety["kill_switch"]["active"]),
        "limits": {
            name: {"limit": each["limit"], "used_today": each["used_today"]} for name, each in safety["limits"].items()
        },
        "alerts": [
            {"name": each.name, "kind": each.kind, "severity": each.severity, "symbol": each.symbol,
             "message": each.message[:300]}
            for each in alerts
        ],
        "drift": _drift(run),
        "proposals": [
            {"id": str(each.pk), "symbol": each.symbol, "side": each.side, "quantity": decimal_string(each.quantity)}
            for each in proposals_pending(account, now)[:PROPOSALS_SHOWN]
        ],
    }  # fmt: skip


def _drift(run: AgentRun) -> list[dict[str, Any]]:
    found = []
    for goal in goal_selectors.goals_visible().filter(account_id=run.account_id, enabled=True)[:20]:
        try:
            drift = goal_selectors.goal_drift(goal, wall=utcnow())
        except EquityNotPositive:
            continue
        found.append({"goal": goal.name, "total_drift_pct": drift["total_drift_pct"], "breached": drift["breached"]})
    return found


def _observations(
    series: Mapping[str, Mapping[str, Any]], skipped: Mapping[str, str], desk: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Say for people what was seen: `{topic, symbol, text}` each."""
    said = [
        _said("price", f"{pin['decision_close']} at {pin['decision_time']}, {pin['bars']} bars of {pin['source']}"
              + (", generated" if pin["generated"] else ""), symbol)
        for symbol, pin in sorted(series.items())
    ]  # fmt: skip
    said += [_said("price", f"no prices: {why}", symbol) for symbol, why in sorted(skipped.items())]
    said.append(_said("account", f"equity {desk['equity']} {desk['currency']}, cash {desk['cash']}"))
    said += [
        _said("position", f"{each['quantity']} held at {each['average_price']}, worth {each['value']}", each["symbol"])
        for each in desk["positions"]
    ]
    said.append(_said("safety", f"trading is {desk['trading_state']}"))
    said += [
        _said("limit", f"{name} is used up: {each['used_today']} of {each['limit']}")
        for name, each in desk["limits"].items()
        if _used_up(each)
    ]
    said += [_said("alert", f"{each['severity']}: {each['message']}", each["symbol"]) for each in desk["alerts"]]
    said += [
        _said(
            "drift", f"{each['goal']} is {each['total_drift_pct']:.2f} % off" + (", over" if each["breached"] else "")
        )
        for each in desk["drift"]
    ]
    if desk["proposals"]:
        said.append(_said("proposals", f"{len(desk['proposals'])} wait for a person"))
    return said


def _said(topic: str, text: str, symbol: str = "") -> dict[str, Any]:
    return {"topic": topic, "symbol": symbol or None, "text": text}


def _used_up(limit: Mapping[str, Any]) -> bool:
    try:
        return (
            limit["limit"] is not None
            and float(limit["limit"]) > 0
            and (float(limit["used_today"] or 0) >= float(limit["limit"]))
        )
    except (TypeError, ValueError):
        return False
