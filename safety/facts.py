"""What the gate is asked and what it answers: plain, frozen data, without Django."""

from collections.abc import Mapping
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
        other_open_value: what resting orders of other symbols may add to the gross exposure.
        day_pnl: what the account has won since the trading day began, unrealised changes included; negative for a loss.
        starting_equity: what the account began with, and what was paid in or out since.
        open_order_cash: cash reserved by resting orders of all symbols, the cover of resting short sales included.
        fee_rate, slippage: fractions of the filled notional and of the price.
        opens_in_s: seconds until the instrument's exchange opens, by the clock of the price's source; 0 while it is open.
        data_age_s: seconds of open market since the last price known, by the same clock.
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
    other_open_value: Decimal | None
    day_pnl: Decimal | None
    starting_equity: Decimal | None
    open_order_cash: Decimal | None
    fee_rate: Decimal | None
    slippage: Decimal | None
    opens_in_s: int | None
    data_age_s: int | None
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
        open_wait_limit_s: seconds that an order may wait for its exchange to open; 0 takes none while it is closed.
        data_max_age_s: seconds of open market that the last price may be old.
        price_collar: how far from the last price an order may fill, against the trader, as a fraction of it.
        exposure_limit: highest sum of the absolute values of all positions, resting orders included.
        daily_loss_limit: what an account may lose in a trading day, unrealised losses included.
        drawdown_limit: how far an account's equity may be below its peak, as a fraction of the peak.
        order_rate_limit: orders that may pass per account within sixty seconds.
    """

    paper_mode: bool | None
    daily_trade_limit: int | None
    position_limit: Decimal | None
    order_notional_limit: Decimal | None
    duplicate_window_s: int | None
    trading_state: str | None
    open_wait_limit_s: int | None
    data_max_age_s: int | None
    price_collar: Decimal | None
    exposure_limit: Decimal | None
    daily_loss_limit: Decimal | None
    drawdown_limit: Decimal | None
    order_rate_limit: int | None


NARROWABLE = (
    "open_wait_limit_s",
    "data_max_age_s",
    "price_collar",
    "order_notional_limit",
    "position_limit",
    "exposure_limit",
    "daily_trade_limit",
    "daily_loss_limit",
    "drawdown_limit",
    "order_rate_limit",
)
"""The limits of which a strategy or an instrument may have its own: where a smaller figure is the stricter one."""


@dataclass(frozen=True)
class NarrowerLimits:
    """Limits that hold for the orders of one strategy, or of one instrument, beside the desk's.

    Attributes:
        scope: such as `strategy 0189...` or `instrument AAPL`.
        values: those of `NARROWABLE` that are set. Those on money and equity hold the account's own figures, which
            no strategy has alone, against a stricter limit for the orders of this scope.
        trades_today, orders_last_minute: what the orders of this scope alone have used, in the intent's account.
    """

    scope: str
    values: Mapping[str, Decimal | int | None]
    trades_today: int | None
    orders_last_minute: int | None


@dataclass(frozen=True)
class SafetyState:
    """What safety itself knows at this moment.

    Attributes:
        kill_switch_active: None when it cannot be told, which halts.
        kill_switch_detail: why, for people.
        flatten_permitted: the set switch lets this very order pass, as long as it only makes its position smaller.
        trades_today: orders that passed today in the intent's account.
        orders_last_minute: orders that passed within the last sixty seconds in the intent's account.
        equity_peak: the highest equity of the intent's account, above which a drawdown is measured.
        breaker_level: how far the drawdown breaker has gone with the account, as in `BreakerLevel`.
        reconciliation_pending: the books of the intent's account differ from its broker's, or were not compared yet.
        reconciliation_detail: how, for people.
    """

    kill_switch_active: bool | None
    kill_switch_detail: str = ""
    flatten_permitted: bool = False
    trades_today: int | None = None
    orders_last_minute: int | None = None
    equity_peak: Decimal | None = None
    breaker_level: str | None = None
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
