"""Asking the gate and keeping what it said."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from django.db import connection

from safety import counters, gate, killswitch, selectors
from safety.choices import BreakerLevel, CounterName, LimitScope, OutcomeKind
from safety.drills import of_drill
from safety.facts import NARROWABLE
from safety.models import DecisionOutcome, GateDecision, ScopedLimits
from tradingsite.common.actor import Actor
from tradingsite.common.decimals import DIGITS, PLACES

_STORABLE = Decimal(10) ** (DIGITS - PLACES)


def order_check(
    *,
    intent: gate.OrderIntent,
    exposure: gate.Exposure,
    actor: Actor,
    consume: bool,
    refusal: tuple[str, str] | None = None,
    trades_ahead: int = 0,
) -> gate.Verdict:
    """Ask the gate, and record the verdict with the facts that it saw.

    Args:
        consume: True for an order that is sent when allowed: it takes its place in the day's count, in the caller's
            transaction. False for a preview, which counts nothing.
        refusal: why the order is not sent even when the gate allows it, as code and detail. It is recorded with the
            verdict, and uses up nothing of the day.
        trades_ahead: for the preview of several orders: how many of them would have passed before this one.

    Raises:
        RuntimeError: for `consume` outside a transaction, where a crash could count an order that never was.
    """
    counted = consume and refusal is None
    if consume and not connection.in_atomic_block:
        raise RuntimeError("order_check needs the transaction of the order that it lets pass")
    scopes = selectors.scopes_counted(strategy_id=intent.strategy_id, symbol=intent.symbol)
    counting = counters.Counters(counters.trading_day(), intent.account_id, CounterName.TRADES, scopes)
    # Held first, for the order rate is counted from the decisions, which nobody else adds to while they are.
    trades = counting.hold() if counted else counting.used()
    rates = selectors.orders_last_minute(
        account_id=intent.account_id, strategy_id=intent.strategy_id, symbol=intent.symbol
    )
    blocks = list(selectors.reconciliation_blocks(account_id=intent.account_id))
    breaker = selectors.breaker_of(intent.account_id)
    switch = killswitch.state(strategy_id=intent.strategy_id)
    permitted = _flatten_permitted(intent, switch)
    if permitted:
        # Each permit is for one order of its own, so a second part of a position is not the first one over again.
        exposure = replace(exposure, same_order_recent=False)
    state = gate.SafetyState(
        kill_switch_active=switch.active,
        kill_switch_detail=switch.detail,
        flatten_permitted=permitted,
        trades_today=trades[counters.WHOLE] + trades_ahead,
        orders_last_minute=rates[counters.WHOLE] + trades_ahead,
        # The smoothed peak: one wrong price would otherwise make every later one a drawdown.
        equity_peak=exposure.starting_equity if breaker is None else breaker.smoothed_peak,
        breaker_level=BreakerLevel.NORMAL.value if breaker is None else breaker.level,
        reconciliation_pending=bool(blocks),
        reconciliation_detail=" ".join(f"{block.code}: {block.detail}".rstrip(": ") + "." for block in blocks),
    )
    narrower = tuple(
        _narrower(row, trades, rates, trades_ahead)
        for row in selectors.scoped_limits_of(strategy_id=intent.strategy_id, symbol=intent.symbol)
    )
    verdict = gate.evaluate(intent, exposure, selectors.limits_current(), state, narrower)
    if counted and verdict.allowed:
        # An order that reduces risk passes the limit, and still counts as one of the day's trades.
        counting.add()
    decision = GateDecision.objects.create(
        allowed=verdict.allowed,
        code=verdict.code,
        detail=verdict.detail,
        preview=not consume,
        drill=of_drill(strategy_id=intent.strategy_id, symbol=intent.symbol),
        client_order_id=intent.client_order_id[:128],
        account_id=intent.account_id,
        strategy_id=intent.strategy_id,
        execution_id=intent.execution_id,
        symbol=intent.symbol[:32],
        side=intent.side[:10],
        order_type=intent.order_type[:20],
        quantity=_text(intent.quantity),
        limit_price=_text(intent.limit_price),
        reference_price=_text(intent.reference_price),
        mode=intent.mode[:10],
        notional=_storable(verdict.facts["notional"]),
        resulting_value=_storable(verdict.facts["resulting_value"]),
        resulting_exposure=_storable(verdict.facts["resulting_exposure"]),
        data_age_s=exposure.data_age_s,
        facts=verdict.facts,
        actor_name=actor.name[:150],
    )
    if consume and verdict.allowed and refusal is not None:
        code, detail = refusal
        decision_outcome(decision_id=decision.pk, kind=OutcomeKind.REFUSED, code=code, detail=detail)
    return replace(verdict, decision_id=decision.pk)


def decision_outcome(*, decision_id: UUID, kind: OutcomeKind, code: str, detail: str) -> None:
    """Write down what became of an order that the gate let pass; what was written first stays."""
    outcome = DecisionOutcome(decision_id=decision_id, kind=kind, code=code[:60], detail=detail)
    DecisionOutcome.objects.bulk_create([outcome], ignore_conflicts=True)


def _narrower(
    row: ScopedLimits, trades: Mapping[str, int], rates: Mapping[str, int], trades_ahead: int
) -> gate.NarrowerLimits:
    # The orders that a preview has let pass before this one are of the same strategy, and each of another instrument.
    ahead = trades_ahead if row.scope == LimitScope.STRATEGY else 0
    return gate.NarrowerLimits(
        scope=row.name,
        values={name: value for name in NARROWABLE if (value := getattr(row, name)) is not None},
        trades_today=trades[row.name] + ahead,
        orders_last_minute=rates[row.name] + ahead,
    )


def _flatten_permitted(intent: gate.OrderIntent, switch: killswitch.KillState) -> bool:
    """Say whether the set switch has given leave to exactly this order, or to a larger one of the same kind."""
    permit = killswitch.flatten_permit(intent.client_order_id, switch) if switch.active else None
    if permit is None or intent.order_type != "market":
        return False
    of_permit = (permit.account_id, permit.strategy_id, permit.symbol, permit.side)
    if of_permit != (intent.account_id, intent.strategy_id, intent.symbol, intent.side):
        return False
    return bool(intent.quantity <= permit.quantity)


def _text(number: object) -> str:
    return "" if number is None else str(number)[:80]


def _storable(text: str | None) -> Decimal | None:
    """Return a computed amount as the column takes it, None when it is beyond what a column holds."""
    if text is None:
        return None
    number = Decimal(text)
    if not number.is_finite() or abs(number) >= _STORABLE:
        return None
    return number.quantize(Decimal(1).scaleb(-PLACES))
