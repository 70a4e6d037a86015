"""Reading rebalances: what was planned, what became of each order, and what was left out."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from portfolio.choices import OPEN, OrderSide, OrderStatus
from portfolio.drafts import Previewed
from portfolio.errors import RebalanceUnknown
from portfolio.ledger import amount, fill_fee, slipped_price
from portfolio.models import Account, Goal, Rebalance, RebalanceLeg

PLANNED, WAITING, GIVEN_UP = "planned", "waiting", "given_up"
"""Where a leg stands that has no order: of a dry run, not sent yet, never to be sent."""

_REFUSED = (OrderStatus.DENIED, OrderStatus.REJECTED, GIVEN_UP)


def rebalances_visible(goal: Goal) -> QuerySet[Rebalance]:
    """Return a goal's rebalances with their legs, the newest first."""
    legs = RebalanceLeg.objects.select_related("instrument", "order").order_by("number")
    return (
        Rebalance.objects.filter(goal=goal)
        .select_related("account")
        .prefetch_related(Prefetch("legs", queryset=legs))
        .order_by("-created_at", "-pk")
    )


def rebalance_get(goal: Goal, rebalance_id: UUID) -> Rebalance:
    """Return one rebalance of a goal.

    Raises:
        RebalanceUnknown: when the goal has none of this id.
    """
    found = rebalances_visible(goal).filter(pk=rebalance_id).first()
    if found is None:
        raise RebalanceUnknown(f"Goal {goal.name!r} has no rebalance {rebalance_id}.")
    return found


def rebalance_report(rebalance: Rebalance) -> dict[str, Any]:
    """Return a rebalance as the API tells it, `orders` in the order of their sending; see `preview_report`."""
    orders = [_leg(leg, rebalance.account) for leg in rebalance.legs.all()]
    return {
        "id": rebalance.pk,
        "goal_id": rebalance.goal_id,
        "dry_run": False,
        "status": rebalance.status,
        "as_of": rebalance.created_at,
        "completed_at": rebalance.completed_at,
        "equity": rebalance.equity,
        "total_drift": rebalance.total_drift,
        "expected_drift": rebalance.expected_drift,
        "min_trade": rebalance.min_trade,
        "sell_outside": rebalance.sell_outside,
        "counts": _counts(orders),
        "orders": orders,
        "skipped": rebalance.skipped,
    }


def preview_report(goal: Goal, previewed: Previewed, *, sell_outside: bool) -> dict[str, Any]:
    """Return what a dry run found, in the shape of a rebalance: each order with the gate's verdict."""
    draft = previewed.draft
    orders = [
        {
            **_nothing_sent(PLANNED),
            "symbol": trade.symbol,
            "side": trade.side.value,
            "planned_quantity": trade.quantity,
            "quantity": trade.quantity,
            "reference_price": trade.price,
            "notional": trade.notional,
            "fee": trade.fee,
            "verdict": {"allowed": verdict.allowed, "code": verdict.code, "detail": verdict.detail},
        }
        for trade, verdict in zip(draft.plan.trades, previewed.verdicts, strict=True)
    ]
    return {
        "id": None,
        "goal_id": goal.pk,
        "dry_run": True,
        "status": PLANNED,
        "as_of": draft.as_of,
        "completed_at": None,
        "equity": draft.equity,
        "total_drift": draft.total_drift,
        "expected_drift": draft.expected_drift,
        "min_trade": draft.min_trade,
        "sell_outside": sell_outside,
        "counts": _counts(orders),
        "orders": orders,
        "skipped": [{"symbol": skip.symbol, "code": skip.code, "detail": skip.detail} for skip in draft.plan.skipped],
    }


def _leg(leg: RebalanceLeg, account: Account) -> dict[str, Any]:
    quantity = leg.planned_quantity if leg.quantity is None else leg.quantity
    slipped = slipped_price(leg.reference_price, OrderSide(leg.side), account.slippage)
    planned = {
        **_nothing_sent(WAITING if leg.waiting else GIVEN_UP),
        "symbol": leg.instrument.symbol,
        "side": leg.side,
        "planned_quantity": leg.planned_quantity,
        "quantity": quantity,
        "reference_price": leg.reference_price,
        "notional": amount(quantity, leg.reference_price),
        "fee": fill_fee(slipped, quantity, account.fee_rate),
        "client_order_id": leg.client_order_id,
        "code": leg.code,
        "detail": leg.detail,
    }
    order = leg.order
    if order is None:
        return planned
    denied = order.status == OrderStatus.DENIED
    return {
        **planned,
        "status": order.status,
        "code": order.code,
        "detail": order.detail,
        "order_id": order.pk,
        # What it cost, once it cost something.
        "fee": order.fees if order.filled_quantity else planned["fee"],
        "filled_quantity": order.filled_quantity,
        "average_price": order.average_price,
        "verdict": {
            "allowed": not denied,
            "code": order.code if denied else "",
            "detail": order.detail if denied else "",
        },
    }


def _nothing_sent(status: str) -> dict[str, Any]:
    return {
        "status": status,
        "code": "",
        "detail": "",
        "client_order_id": "",
        "order_id": None,
        "filled_quantity": 0,
        "average_price": None,
        "verdict": None,
    }


def _counts(orders: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many orders there are, and how many of them were refused, wait, are open or were filled."""
    rows = list(orders)
    statuses = [row["status"] for row in rows]
    refused = sum(row["status"] in _REFUSED or bool(row["verdict"] and not row["verdict"]["allowed"]) for row in rows)
    return {
        "orders": len(rows),
        "refused": refused,
        "waiting": statuses.count(WAITING),
        "open": sum(status in OPEN for status in statuses),
        "filled": statuses.count(OrderStatus.FILLED),
    }
