"""Rebalances: an account brought to a goal, through the gate and the order path like everything else.

A plan is made and written down under the account's lock, all legs of it, before the first is sent. From then on any
process may carry it on, the one that was asked or, when that one dies, a duty: a leg's order has an id and a quantity
that are fixed before it is sent, so that sending it again meets the order that is there already.

Sells go first. A buy that the cash does not cover waits while a sell is open, and then takes what the cash covers.
"""

import hashlib
import logging
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from portfolio.choices import OPEN, OrderPurpose, OrderSide, RebalanceStatus, TimeInForce
from portfolio.drafts import rebalance_draft
from portfolio.equity import valuation
from portfolio.errors import ClientOrderIdReused, GoalDisabled, GoalUnknown, RebalanceRunning
from portfolio.facts import cash_reserved, series_facts
from portfolio.ledger import ZERO
from portfolio.models import Account, Goal, Order, Rebalance, RebalanceLeg
from portfolio.orders import order_place
from portfolio.rebalancing import CASH_SHORT, NO_PRICE
from portfolio.sizing import affordable, round_down
from safety import selectors as safety
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import AppError
from tradingsite.common.ids import uuid7
from tradingsite.common.owners import require_owner

logger = logging.getLogger(__name__)

OPEN_FOR = timedelta(days=1)
"""How long a buy waits for sells beyond the time after which the gate expects their market to be open."""

GOAL_SWITCHED_OFF = "GOAL_SWITCHED_OFF"
SELLS_NOT_FILLED = "SELLS_NOT_FILLED"


def rebalance_start(
    *,
    actor: Actor,
    goal_id: UUID,
    key: str | None = None,
    min_trade: Decimal | None = None,
    sell_outside: bool = False,
) -> Rebalance:
    """Plan a rebalance, write it down and send what can be sent.

    Args:
        key: what the caller repeats when it does not know whether it was heard: the same caller with the same key,
            goal and options gets the rebalance that it has already, carried on.

    Returns:
        The rebalance; `running` while buys wait for sells.

    Raises:
        GoalUnknown, GoalDisabled, PermissionDenied, EquityNotPositive, PricesMissing
        RebalanceRunning: another one of the account is under way.
    """
    digest = _digest(actor, goal_id, key, min_trade, sell_outside)
    with transaction.atomic(durable=True):
        goal = Goal.objects.select_related("account").filter(pk=goal_id, deleted_at=None).first()
        if goal is None:
            raise GoalUnknown(f"There is no goal {goal_id}.")
        require_owner(actor=actor, created_by_id=goal.created_by_id)
        # From here to the commit no order of the account is placed or filled, and no other plan of it is made.
        goal.account = Account.objects.locked(goal.account_id)
        rebalance = Rebalance.objects.filter(key=digest).first()
        if rebalance is None:
            rebalance = _written(actor, goal, digest, min_trade, sell_outside)
    rebalance_carry_on(rebalance_id=rebalance.pk)
    rebalance.refresh_from_db()
    return rebalance


def rebalances_carry_on() -> int:
    """Send what has become sendable of every running rebalance, whoever began it, and return how many there were."""
    running = list(Rebalance.objects.filter(status=RebalanceStatus.RUNNING).values_list("pk", flat=True))
    for rebalance_id in running:
        # One that cannot go on must not keep the others from it.
        try:
            rebalance_carry_on(rebalance_id=rebalance_id)
        except (AppError, OSError) as error:
            logger.warning("rebalance %s cannot go on for now: %s", rebalance_id, error)
    return len(running)


def rebalance_carry_on(*, rebalance_id: UUID) -> None:
    """Send the legs that wait, in their order, up to the first buy that must wait for a sell.

    Any number of processes may do so at once: a leg's order has one id, and one quantity, fixed under a lock.
    """
    rebalance = Rebalance.objects.select_related("goal__account").get(pk=rebalance_id)
    for leg in rebalance.legs.select_related("instrument").order_by("number"):
        if leg.waiting and not _send(rebalance, leg):
            return
    with transaction.atomic():
        locked = Rebalance.objects.select_for_update().get(pk=rebalance_id)
        if locked.status == RebalanceStatus.RUNNING:
            locked.status, locked.completed_at = RebalanceStatus.COMPLETED, utcnow()
            locked.save(update_fields=["status", "completed_at"])
            given_up = locked.legs.exclude(code="").count()
            sent = locked.legs.filter(order__isnull=False).count()
            after = {"sent": sent, "given_up": given_up}
            audit.record(actor=_actor(rebalance), action="rebalance.complete", target=locked, after=after)


def _written(actor: Actor, goal: Goal, digest: str, min_trade: Decimal | None, sell_outside: bool) -> Rebalance:
    """Plan and write a rebalance with its legs, under the account's lock."""
    if not goal.enabled:
        raise GoalDisabled("Switch the goal on to rebalance to it; a dry run tells what would be ordered.")
    running = Rebalance.objects.filter(account=goal.account, status=RebalanceStatus.RUNNING).first()
    if running is not None:
        raise RebalanceRunning(
            "Wait until it has completed, or switch its goal off to give up what it has not sent yet.",
            extra={"rebalance_id": str(running.pk), "goal_id": str(running.goal_id)},
        )
    wall = utcnow()
    worth = valuation(account=goal.account, wall=wall)
    draft = rebalance_draft(goal, worth, wall=wall, min_trade=min_trade, sell_outside=sell_outside)
    rebalance = Rebalance.objects.create(
        goal=goal,
        account=goal.account,
        strategy_id=goal.strategy_id,
        key=digest,
        equity=draft.equity,
        total_drift=draft.total_drift,
        expected_drift=draft.expected_drift,
        min_trade=draft.min_trade,
        sell_outside=sell_outside,
        skipped=[{"symbol": skip.symbol, "code": skip.code, "detail": skip.detail} for skip in draft.plan.skipped],
        actor_kind=actor.kind,
        actor_name=actor.name[:150],
        created_by_id=actor.user_id,
    )
    RebalanceLeg.objects.bulk_create(
        RebalanceLeg(
            rebalance=rebalance,
            number=number,
            instrument=draft.instruments[trade.symbol],
            side=trade.side,
            planned_quantity=trade.quantity,
            # A sell is for what was planned; what a buy is for, the cash decides when its turn comes.
            quantity=trade.quantity if trade.side is OrderSide.SELL else None,
            reference_price=trade.price,
            source=draft.series[trade.symbol].source,
            timeframe=draft.series[trade.symbol].timeframe,
            adjustment=draft.series[trade.symbol].adjustment,
            client_order_id=f"rebalance-{rebalance.pk}-{number}-{trade.symbol}",
        )
        for number, trade in enumerate(draft.plan.trades)
    )
    audit.record(
        actor=actor,
        action="rebalance.start",
        target=rebalance,
        after={
            "goal_id": str(goal.pk),
            "total_drift": decimal_string(draft.total_drift),
            "legs": [f"{trade.side} {decimal_string(trade.quantity)} {trade.symbol}" for trade in draft.plan.trades],
        },
    )
    return rebalance


def _send(rebalance: Rebalance, leg: RebalanceLeg) -> bool:
    """Send one leg, or give it up; False when it must wait."""
    goal = Goal.objects.get(pk=rebalance.goal_id)
    if not goal.enabled or goal.deleted_at is not None:
        # A process that died may have sent it all the same; what it left unsent is cancelled by the settling of orders.
        order = Order.objects.filter(client_order_id=leg.client_order_id).first()
        if order is None:
            _give_up(leg, GOAL_SWITCHED_OFF, "The goal was switched off or deleted before this was sent.")
        else:
            _link(leg, order)
        return True
    if leg.quantity is None:
        _size(rebalance, leg)
        leg.refresh_from_db(fields=["quantity", "code"])
        if leg.quantity is None:
            return not leg.waiting
    account = rebalance.goal.account
    try:
        order = order_place(
            actor=_actor(rebalance),
            account=account,
            symbol=leg.instrument.symbol,
            side=leg.side,
            quantity=leg.quantity,
            client_order_id=leg.client_order_id,
            # A fraction of a share is taken for the day only by brokers elsewhere.
            time_in_force=TimeInForce.DAY if leg.quantity % 1 else TimeInForce.GTC,
            strategy_id=rebalance.strategy_id,
            mode=account.mode,
            source=leg.source,
            timeframe=leg.timeframe,
            adjustment=leg.adjustment,
            # Sold by somebody else meanwhile, it would be a short sale.
            purpose=OrderPurpose.CLOSE if leg.side == OrderSide.SELL else None,
        )
    except ClientOrderIdReused as error:
        _give_up(leg, error.code, error.detail)
        return True
    _link(leg, order)
    return True


def _link(leg: RebalanceLeg, order: Order) -> None:
    RebalanceLeg.objects.filter(pk=leg.pk).update(order=order)


def _size(rebalance: Rebalance, leg: RebalanceLeg) -> None:
    """Fix what a buy is for: what was planned, or what the cash covers once no sell is open; else leave it waiting."""
    wall = utcnow()
    with transaction.atomic():
        # The account's lock first, as everywhere: the cash stands still while it is looked at.
        account = Account.objects.locked(rebalance.account_id)
        locked = RebalanceLeg.objects.select_for_update(of=("self",)).select_related("instrument").get(pk=leg.pk)
        if locked.quantity is not None or not locked.waiting:
            return
        instrument = locked.instrument
        facts = series_facts(
            instrument=instrument,
            source=leg.source,
            timeframe=leg.timeframe,
            adjustment=leg.adjustment,
            wall=wall,
        )
        covered = round_down(
            affordable(
                account.cash - cash_reserved(account=account),
                facts.reference_price or ZERO,
                fee_rate=account.fee_rate,
                slippage=account.slippage,
            ),
            quantity_precision=instrument.quantity_precision,
            lot_size=instrument.lot_size,
        )
        if facts.reference_price is None:
            _give_up(leg, NO_PRICE, "By now there is no price for it.")
            return
        quantity = min(locked.planned_quantity, covered)
        if quantity == locked.planned_quantity:
            RebalanceLeg.objects.filter(pk=leg.pk).update(quantity=quantity)
        elif rebalance.legs.filter(order__status__in=OPEN, side=OrderSide.SELL).exists():
            if wall - rebalance.created_at > _sells_waited_for():
                _give_up(leg, SELLS_NOT_FILLED, "The sells that were to pay for it were not filled in their time.")
        elif quantity <= 0 or quantity * facts.reference_price < rebalance.min_trade:
            _give_up(leg, CASH_SHORT, f"The cash covers {decimal_string(quantity)} of it, less than the minimum trade.")
        else:
            RebalanceLeg.objects.filter(pk=leg.pk).update(quantity=quantity)


def _sells_waited_for() -> timedelta:
    """Return how long a buy waits for sells: until a market that the gate lets orders wait for has been open."""
    return timedelta(seconds=safety.settings_get().open_wait_limit_s) + OPEN_FOR


def _give_up(leg: RebalanceLeg, code: str, detail: str) -> None:
    RebalanceLeg.objects.filter(pk=leg.pk, order=None, code="").update(code=code, detail=detail[:500])


def _actor(rebalance: Rebalance) -> Actor:
    """Who asked for it: its orders are that person's, whichever process sends them."""
    kind: Any = rebalance.actor_kind
    return Actor(kind=kind, name=rebalance.actor_name, user_id=rebalance.created_by_id)


def _digest(actor: Actor, goal_id: UUID, key: str | None, min_trade: Decimal | None, sell_outside: bool) -> str:
    """Return what names this request and no other; without a key each request is one of its own."""
    said = f"{actor.kind}:{actor.user_id}:{actor.name}:{goal_id}:{key or uuid7()}:{min_trade}:{sell_outside}"
    return hashlib.sha256(said.encode()).hexdigest()
