"""What holds of the gate whatever it is shown."""

import json
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from safety.facts import NARROWABLE
from safety.gate import Exposure, Limits, NarrowerLimits, OrderIntent, SafetyState, evaluate, reduces_risk
from tests.safety.cases import ACCOUNT, EXPOSURE, INTENT, LIMITS, STATE, D, judged
from tests.safety.test_gate import OF_INSTRUMENT, OF_STRATEGY

numbers = st.one_of(
    st.none(),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.decimals(min_value=-1000, max_value=100_000, places=4),
    st.just(D("1E+999999")),
    st.floats(),
)
flags = st.one_of(st.none(), st.booleans())
counts = st.one_of(st.none(), st.integers(-5, 200))
words = st.sampled_from(["buy", "sell", "", "short"])


narrower_limits = st.builds(
    NarrowerLimits, scope=st.sampled_from([OF_STRATEGY, OF_INSTRUMENT]), trades_today=counts, orders_last_minute=counts,
    values=st.dictionaries(st.sampled_from(NARROWABLE), st.one_of(counts, numbers)),
)  # fmt: skip
Case = tuple[OrderIntent, Exposure, Limits, SafetyState, tuple[NarrowerLimits, ...]]


@st.composite
def anything(draw: st.DrawFn) -> Case:
    def take(base: Any, **by_type: Any) -> Any:
        return type(base)(**by_type)

    intent = take(
        INTENT, client_order_id="x", account_id=ACCOUNT, strategy_id=None, execution_id=None, symbol="X",
        side=draw(words), quantity=draw(numbers), order_type=draw(st.sampled_from(["market", "limit", "stop"])),
        limit_price=draw(numbers), reference_price=draw(numbers), mode=draw(st.sampled_from(["paper", "live", ""])),
        quantity_precision=draw(counts), lot_size=draw(numbers),
    )  # fmt: skip
    exposure = Exposure(
        **{name: draw(numbers) for name in list(Exposure.__dataclass_fields__)[:-2]},
        same_order_recent=draw(flags), instrument_enabled=draw(flags),
    )  # fmt: skip
    anyhow = st.one_of(flags, counts, numbers)
    limits = Limits(
        **{name: draw(anyhow) for name in Limits.__dataclass_fields__ if name != "trading_state"},
        trading_state=draw(st.sampled_from(["active", "reducing", "halted", None])),
    )
    state = SafetyState(
        kill_switch_active=draw(flags), trades_today=draw(counts), orders_last_minute=draw(counts),
        equity_peak=draw(numbers), reconciliation_pending=draw(flags),
    )  # fmt: skip
    return intent, exposure, limits, state, draw(st.lists(narrower_limits, max_size=2).map(tuple))


@given(anything())
def test_the_gate_never_raises_and_its_facts_are_json(case: Case) -> None:
    verdict = evaluate(*case)
    assert verdict.allowed is (verdict.code == "")
    json.dumps(verdict.facts, allow_nan=False)


plain = st.decimals(min_value=0, max_value=2000, places=2)


@given(
    side=st.sampled_from(["buy", "sell"]), quantity=st.integers(1, 2000).map(Decimal), price=plain,
    position=st.integers(-600, 600).map(Decimal), buys=st.integers(0, 100).map(Decimal),
    sells=st.integers(0, 100).map(Decimal), cash=st.decimals(min_value=0, max_value=200_000, places=2),
    reserved=plain, used=st.integers(0, 30), others=st.decimals(min_value=0, max_value=300_000, places=2),
    pnl=st.decimals(min_value=-10_000, max_value=10_000, places=2), peak=st.integers(90_000, 200_000).map(Decimal),
)  # fmt: skip
def test_what_passes_keeps_every_limit(
    side: str, quantity: Decimal, price: Decimal, position: Decimal, buys: Decimal, sells: Decimal, cash: Decimal,
    reserved: Decimal, used: int, others: Decimal, pnl: Decimal, peak: Decimal,
) -> None:  # fmt: skip
    own = abs(position) * price
    verdict = judged(
        side=side, quantity=quantity, reference_price=price, position_quantity=position, open_buy_quantity=buys,
        open_sell_quantity=sells, cash=cash, open_order_cash=reserved, trades_today=used,
        day_pnl=pnl, equity_peak=peak, position_value=own, gross_exposure=own + others,
    )  # fmt: skip
    if not verdict.allowed:
        return
    assert quantity * price <= LIMITS.order_notional_limit
    after = position + buys + quantity if side == "buy" else position - sells - quantity
    assert abs(after) * price <= LIMITS.position_limit or verdict.facts["reduces"]
    assert used < 20 or verdict.facts["reduces"]
    assert others + abs(after) * price <= LIMITS.exposure_limit or verdict.facts["reduces"]
    assert pnl >= -LIMITS.daily_loss_limit or verdict.facts["reduces"]
    assert peak * (1 - LIMITS.drawdown_limit) <= 100_000 or verdict.facts["reduces"]
    if side == "buy":
        assert quantity * price * D("1.0005") * D("1.001") <= cash - reserved
    assert STATE.kill_switch_active is False


@given(
    position=st.integers(-100, 100).map(Decimal), quantity=st.integers(1, 200).map(Decimal),
    resting=st.integers(0, 100).map(Decimal), side=st.sampled_from(["buy", "sell"]),
)  # fmt: skip
def test_a_reducing_order_can_never_leave_a_larger_or_an_opposite_position(
    position: Decimal, quantity: Decimal, resting: Decimal, side: str
) -> None:
    from dataclasses import replace

    intent = replace(INTENT, side=side, quantity=quantity)
    exposure = replace(EXPOSURE, position_quantity=position, open_buy_quantity=resting, open_sell_quantity=resting)
    if not reduces_risk(intent, exposure):
        return
    for filled_first in (D(0), resting):
        after = position + (filled_first + quantity) * (1 if side == "buy" else -1)
        assert abs(after) < abs(position)
        assert after * position >= 0
