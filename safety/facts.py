"""What the gate is asked and what it answers: plain, frozen data, without Django."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class OrderIntent:
    """What somebody wants to send.

    Attributes:
        side: `buy` or `sell`.
        quantity: units, above zero.
        order_type: `market`, `limit` with `limit_price`, or `stop` with `stop_price`.
        reference_price: the last price known for the instrument, currency per unit.
        mode: `paper` or `live`.
        quantity_precision: digits after the point that the instrument's quantity may have.
        lot_size: the quantity must be a multiple of it.
    """

    client_order_id: str
    account_id: UUID
    strategy_id: UUID | None
    execution_id: UUID | None
    symbol: str
    side: str
    quantity: Decimal
    order_type: str
    limit_price: Decimal | None
    reference_price: Decimal | None
    mode: str
    quantity_precision: int
    lot_size: Decimal
    stop_price: Decimal | None = None


@dataclass(frozen=True)
class Exposure:
    """What the account holds and owes at this moment, as the order service found it under the account's lock.

    Attributes:
        cash: the account's cash, before anything that is reserved.
        equity: cash and positions at their marks.
        position_quantity: signed units of the intent's symbol.
        open_buy_quantity, open_sell_quantity: units still resting in orders of the symbol, without this intent.
        gross_exposure: sum of the absolute values of all positions.
        position_value: absolute value of the symbol's position at its mark.
        open_order_cash: cash reserved by resting orders of all symbols, the cover of resting short sales included.
        fee_rate, slippage: fractions of the filled notional and of the price.
        same_order_recent: an order of the same strategy, symbol, side and quantity within the duplicate window, or
            one of the same client order id.
        instrument_enabled: the instrument exists and may be traded.
    """

    cash: Decimal | None
    equity: Decimal | None
    position_quantity: Decimal | None
    open_buy_quantity: Decimal | None
    open_sell_quantity: Decimal | None
    gross_exposure: Decimal | None
    position_value: Decimal | None
    open_order_cash: Decimal | None
    fee_rate: Decimal | None
    slippage: Decimal | None
    same_order_recent: bool | None
    instrument_enabled: bool | None


@dataclass(frozen=True)
class Limits:
    """The limits in force. Every field here is breached end to end by a test.

    Attributes:
        paper_mode: no live order leaves.
        daily_trade_limit: orders that may pass per account and trading day.
        position_limit: highest absolute value of one position, resting orders included.
        order_notional_limit: highest quantity times price of one order.
        duplicate_window_s: seconds within which the same order counts as a duplicate.
        trading_state: `active` or `reducing`.
    """

    paper_mode: bool | None
    daily_trade_limit: int | None
    position_limit: Decimal | None
    order_notional_limit: Decimal | None
    duplicate_window_s: int | None
    trading_state: str | None


@dataclass(frozen=True)
class SafetyState:
    """What safety itself knows at this moment.

    Attributes:
        kill_switch_active: None when it cannot be told, which halts.
        kill_switch_detail: why, for people.
        trades_today: orders that passed today in the intent's account.
        reconciliation_pending: the books of the intent's account differ from its broker's, or were not compared yet.
        reconciliation_detail: how, for people.
    """

    kill_switch_active: bool | None
    kill_switch_detail: str = ""
    trades_today: int | None = None
    reconciliation_pending: bool | None = None
    reconciliation_detail: str = ""


@dataclass(frozen=True)
class Verdict:
    """The gate's answer.

    Attributes:
        code: empty when allowed, else a `GateCode`.
        detail: for people: what was found, and against which limit.
        facts: everything that was looked at, JSON-able, numbers as decimal strings.
        decision_id: the stored decision; None while it is not stored.
    """

    allowed: bool
    code: str
    detail: str
    facts: dict[str, Any] = field(default_factory=dict)
    decision_id: UUID | None = None
