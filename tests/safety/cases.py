"""An order that passes every check, and ways to bend one fact of it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from safety.gate import Exposure, Limits, OrderIntent, SafetyState, Verdict, evaluate

D = Decimal
ACCOUNT = UUID("01890000-0000-7000-8000-000000000001")
STRATEGY = UUID("01890000-0000-7000-8000-000000000002")

INTENT = OrderIntent(
    client_order_id="run-0-AAPL-0",
    account_id=ACCOUNT,
    strategy_id=STRATEGY,
    execution_id=None,
    symbol="AAPL",
    side="buy",
    quantity=D(10),
    order_type="market",
    limit_price=None,
    reference_price=D(100),
    mode="paper",
    quantity_precision=0,
    lot_size=D(1),
)
EXPOSURE = Exposure(
    cash=D(100_000),
    equity=D(100_000),
    position_quantity=D(0),
    open_buy_quantity=D(0),
    open_sell_quantity=D(0),
    gross_exposure=D(0),
    position_value=D(0),
    other_open_value=D(0),
    day_pnl=D(0),
    starting_equity=D(100_000),
    open_order_cash=D(0),
    fee_rate=D("0.001"),
    slippage=D("0.0005"),
    opens_in_s=0,
    data_age_s=0,
    same_order_recent=False,
    instrument_enabled=True,
)
LIMITS = Limits(
    paper_mode=True,
    daily_trade_limit=20,
    position_limit=D(50_000),
    order_notional_limit=D(25_000),
    duplicate_window_s=60,
    trading_state="active",
    open_wait_limit_s=0,
    data_max_age_s=93_600,
    price_collar=D("0.1"),
    exposure_limit=D(200_000),
    daily_loss_limit=D(5_000),
    drawdown_limit=D("0.2"),
    order_rate_limit=600,
)
STATE = SafetyState(
    kill_switch_active=False,
    trades_today=0,
    orders_last_minute=0,
    equity_peak=D(100_000),
    breaker_level="normal",
    reconciliation_pending=False,
)
_BASES = {"intent": INTENT, "exposure": EXPOSURE, "limits": LIMITS, "state": STATE}
_HOME = {name: group for group, base in _BASES.items() for name in base.__dataclass_fields__}


def judged(**changes: Any) -> Verdict:
    """Return the verdict on the passing order with some facts replaced, each found by its name."""
    parts = dict(_BASES)
    narrower = changes.pop("narrower", ())
    for name, value in changes.items():
        parts[_HOME[name]] = replace(parts[_HOME[name]], **{name: value})
    return evaluate(**parts, narrower=narrower)
