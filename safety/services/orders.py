"""Asking the gate and keeping what it said."""

from dataclasses import replace
from decimal import Decimal

from django.db import connection

from safety import counters, gate, killswitch, selectors
from safety.choices import CounterName
from safety.models import GateDecision
from tradingsite.common.actor import Actor
from tradingsite.common.decimals import DIGITS, PLACES

_STORABLE = Decimal(10) ** (DIGITS - PLACES)


def order_check(
    *, intent: gate.OrderIntent, exposure: gate.Exposure, actor: Actor, consume: bool, trades_ahead: int = 0
) -> gate.Verdict:
    """Ask the gate, and record the verdict with the facts that it saw.

    Args:
        consume: True for an order that is sent when allowed: it takes its place in the day's count, in the caller's
            transaction. False for a preview, which counts nothing.
        trades_ahead: for the preview of several orders: how many of them would have passed before this one.

    Raises:
        RuntimeError: for `consume` outside a transaction, where a crash could count an order that never was.
    """
    if consume and not connection.in_atomic_block:
        raise RuntimeError("order_check needs the transaction of the order that it lets pass")
    limits = selectors.limits_current()
    blocks = list(selectors.reconciliation_blocks(account_id=intent.account_id))
    switch = killswitch.state(strategy_id=intent.strategy_id)
    state = gate.SafetyState(
        kill_switch_active=switch.active,
        kill_switch_detail=switch.detail,
        trades_today=selectors.trades_today(intent.account_id) + trades_ahead,
        reconciliation_pending=bool(blocks),
        reconciliation_detail=" ".join(f"{block.code}: {block.detail}".rstrip(": ") + "." for block in blocks),
    )
    verdict = gate.evaluate(intent, exposure, limits, state)
    if consume and verdict.allowed:
        # An order that reduces risk passes the limit, and still counts as one of the day's trades.
        limit = None if verdict.facts["reduces"] else limits.daily_trade_limit
        if not counters.take(account_id=intent.account_id, name=CounterName.TRADES, limit=limit):
            # Others took the last places since we looked.
            used = max(selectors.trades_today(intent.account_id), limits.daily_trade_limit or 0)
            verdict = gate.evaluate(intent, exposure, limits, replace(state, trades_today=used))
    decision = GateDecision.objects.create(
        allowed=verdict.allowed,
        code=verdict.code,
        detail=verdict.detail,
        preview=not consume,
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
        facts=verdict.facts,
        actor_name=actor.name[:150],
    )
    return replace(verdict, decision_id=decision.pk)


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
