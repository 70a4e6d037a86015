"""The intent: what is asked for, put to the gate and committed before anything is sent."""

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from market.models import Instrument
from market.sources import generated
from portfolio.choices import BrokerKind, OrderPurpose, OrderSide, OrderStatus, OrderType, TimeInForce, TradingMode
from portfolio.errors import (
    ACCOUNT_MODE_MISMATCH,
    CURRENCY_MISMATCH,
    POSITION_CHANGED,
    PRICE_SERIES_MISMATCH,
    PRICES_GENERATED,
    ClientOrderIdReused,
)
from portfolio.facts import SeriesFacts, exposure_of
from portfolio.fills import order_announce
from portfolio.models import Account, Order, Position
from safety.gate import Exposure, OrderIntent, Verdict, reduces_risk
from safety.services import order_check
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import FieldError, ValidationFailed


def words_check(
    *,
    side: str,
    order_type: str,
    time_in_force: str,
    mode: str,
    client_order_id: str,
    limit_price: Decimal | None,
    stop_price: Decimal | None,
) -> None:
    """Say all at once what no order can have.

    Raises:
        ValidationFailed: naming each field.
    """
    errors = [
        FieldError(pointer, "invalid_choice", f"Must be one of {', '.join(words)}.")
        for pointer, word, words in (
            ("side", side, OrderSide.values),
            ("type", order_type, OrderType.values),
            ("time_in_force", time_in_force, TimeInForce.values),
            ("mode", mode, TradingMode.values),
        )
        if word not in words
    ]
    if not 1 <= len(client_order_id) <= 100:
        errors.append(FieldError("client_order_id", "invalid", "Must have 1 to 100 characters."))
    for pointer, of_type, price in (
        ("limit_price", OrderType.LIMIT, limit_price),
        ("stop_price", OrderType.STOP, stop_price),
    ):
        if (order_type == of_type) != (price is not None):
            errors.append(FieldError(pointer, "invalid", f"A {of_type} order has this price, any other order has not."))
        elif price is not None and not price > 0:
            errors.append(FieldError(pointer, "min_value", "Must be above zero."))
    if errors:
        raise ValidationFailed(errors=errors)


_CONTENT = [
    "account_id",
    "instrument_id",
    "strategy_id",
    "execution_id",
    "mode",
    "side",
    "type",
    "quantity",
    "limit_price",
    "stop_price",
    "time_in_force",
]


def existing_order(intent: Order) -> Order | None:
    order = Order.objects.select_related("instrument", "account").filter(client_order_id=intent.client_order_id).first()
    if order is not None:
        different = [name for name in _CONTENT if getattr(order, name) != getattr(intent, name)]
        if different:
            raise ClientOrderIdReused(f"{order.client_order_id} has another {', '.join(different)}.")
    return order


def intent_commit(
    *,
    actor: Actor,
    intent: Order,
    facts: SeriesFacts,
    wall: datetime,
    purpose: OrderPurpose | None = None,
    broker_refusal: tuple[str, str] | None = None,
) -> Order:
    """Ask the gate and commit the intent. Durable: an intent inside another transaction might be sent and forgotten.

    Args:
        facts: of the series that the intent names.
        broker_refusal: what the account's broker is known not to take, as code and detail.
    """
    with transaction.atomic(durable=True):
        account = Account.objects.locked(intent.account_id)
        existing = existing_order(intent)
        if existing is not None:
            return existing
        intent.account = account
        judged = intent_of(intent, intent.instrument)
        exposure = exposure_of(
            account=account,
            instrument=intent.instrument,
            side=OrderSide(intent.side),
            quantity=intent.quantity,
            strategy_id=intent.strategy_id,
            wall=wall,
            facts=facts,
        )
        refusal = order_refusal(account=account, instrument=intent.instrument, mode=intent.mode, facts=facts)
        refusal = refusal or _invented(account, judged, exposure, facts)
        refusal = refusal or _moved_on(judged, exposure, purpose) or broker_refusal
        verdict = order_check(intent=judged, exposure=exposure, actor=actor, consume=True, refusal=refusal)
        intent.decision_id = verdict.decision_id
        intent.status, intent.code, intent.detail = _first_status(verdict, refusal)
        if intent.status == OrderStatus.DENIED:
            intent.closed_at = utcnow()
        intent.save(force_insert=True)
        audit.record(
            actor=actor,
            action="order.place",
            target=intent,
            after={
                "client_order_id": intent.client_order_id,
                "symbol": intent.instrument.symbol,
                "side": intent.side,
                "quantity": decimal_string(intent.quantity),
                "status": intent.status,
                "code": intent.code,
            },
        )
        order_announce(intent, news=True)
    return intent


def intent_of(order: Order, instrument: Instrument) -> OrderIntent:
    """Return an order as the gate judges it."""
    return OrderIntent(
        client_order_id=order.client_order_id,
        account_id=order.account_id,
        strategy_id=order.strategy_id,
        execution_id=order.execution_id,
        symbol=instrument.symbol,
        side=order.side,
        quantity=order.quantity,
        order_type=order.type,
        limit_price=order.limit_price,
        reference_price=order.reference_price,
        mode=order.mode,
        quantity_precision=instrument.quantity_precision,
        lot_size=instrument.lot_size,
        stop_price=order.stop_price,
    )


def order_refusal(*, account: Account, instrument: Instrument, mode: str, facts: SeriesFacts) -> tuple[str, str] | None:
    """Return why the order service itself refuses an order that the gate may allow, as code and detail."""
    if mode != account.mode:
        return ACCOUNT_MODE_MISMATCH, f"Account {account.name} trades {account.mode} only."
    if instrument.currency != account.currency:
        return (
            CURRENCY_MISMATCH,
            f"{instrument.symbol} is priced in {instrument.currency}, account {account.name} holds {account.currency}.",
        )
    held = Position.objects.filter(account=account, instrument=instrument).exclude(quantity=0).first()
    if held is not None and (held.source, held.adjustment) != (facts.source, facts.adjustment):
        return (
            PRICE_SERIES_MISMATCH,
            f"The position in {instrument.symbol} was opened at prices of {held.source} ({held.adjustment}), "
            f"not of {facts.source} ({facts.adjustment}).",
        )
    return None


def _invented(account: Account, judged: OrderIntent, exposure: Exposure, facts: SeriesFacts) -> tuple[str, str] | None:
    """Return why an order leaves for no broker by invented prices, as code and detail; what is held may be closed."""
    if account.broker == BrokerKind.PAPER or not generated([facts.source]) or reduces_risk(judged, exposure):
        return None
    return (
        PRICES_GENERATED,
        f"The prices of {judged.symbol} from {facts.source} are generated, and account {account.name} trades at a broker: "
        "import real ones, or use a paper account.",
    )


def _moved_on(judged: OrderIntent, exposure: Exposure, purpose: OrderPurpose | None) -> tuple[str, str] | None:
    """Return why the order no longer is what was planned, as code and detail. Decided under the account's lock."""
    if purpose is OrderPurpose.OPEN and (exposure.position_quantity or exposure.open_buy_quantity):
        return POSITION_CHANGED, f"It was planned while no {judged.symbol} was held or being bought, and now there is."
    if purpose is OrderPurpose.CLOSE and not reduces_risk(judged, exposure):
        return POSITION_CHANGED, f"It was planned to close a position in {judged.symbol} that is no longer that large."
    return None


def _first_status(verdict: Verdict, refusal: tuple[str, str] | None) -> tuple[OrderStatus, str, str]:
    if not verdict.allowed:
        return OrderStatus.DENIED, verdict.code, verdict.detail[:500]
    if refusal is not None:
        return OrderStatus.DENIED, *refusal
    return OrderStatus.PENDING, "", ""
