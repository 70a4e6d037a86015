"""What the gate lets pass, what it denies, and in which order it looks."""

import json
from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety.choices import GateCode
from safety.gate import CHECKS, Exposure, Limits, OrderIntent, SafetyState, evaluate, reduces_risk
from safety.selectors import CODE_OF
from tests.safety.cases import ACCOUNT, EXPOSURE, INTENT, LIMITS, STATE, D, judged

LONG = {"position_quantity": D(10), "position_value": D(1000), "gross_exposure": D(1000)}
NAN, SNAN, INF = D("NaN"), D("sNaN"), D("Infinity")

# One fact bent so far that this check, and none before it, must deny.
BREACHES: dict[GateCode, list[dict[str, Any]]] = {
    GateCode.KILL_SWITCH_ACTIVE: [
        {"kill_switch_active": True},
        {"kill_switch_active": None},
        {"kill_switch_active": "no"},
        {"trading_state": "halted"},
    ],
    GateCode.TRADING_STATE_REDUCING: [
        {"trading_state": "reducing"},
        {"trading_state": None},
        {"trading_state": "whatever"},
        {"trading_state": "reducing", **LONG},
        {"trading_state": "reducing", "side": "sell", **LONG, "quantity": D(11)},
        {"trading_state": "reducing", "side": "sell", **LONG, "open_sell_quantity": D(1)},
        {"trading_state": "reducing", "side": "sell", **LONG, "open_sell_quantity": None},
        {"trading_state": "reducing", "side": "sell", **LONG, "position_quantity": NAN},
    ],
    GateCode.LIVE_TRADING_DISABLED: [
        {"mode": "live"},
        {"mode": "", "paper_mode": False},
        {"paper_mode": None},
    ],
    GateCode.RECONCILIATION_PENDING: [{"reconciliation_pending": True}, {"reconciliation_pending": None}],
    GateCode.INSTRUMENT_NOT_ALLOWED: [{"instrument_enabled": False}, {"instrument_enabled": None}],
    GateCode.QUANTITY_INVALID: [
        {"quantity": D(0)},
        {"quantity": D(-1)},
        {"quantity": D("0.5")},
        {"quantity": NAN},
        {"quantity": SNAN},
        {"quantity": INF},
        {"quantity": None},
        {"quantity": 10.0},
        {"quantity": D(15), "lot_size": D(10)},
        {"quantity": D("1E+999999")},
        {"quantity_precision": None},
        {"lot_size": D(0)},
        {"lot_size": None},
        {"side": "hold"},
    ],
    GateCode.ORDER_NOTIONAL_EXCEEDS_LIMIT: [
        {"quantity": D(251)},
        {"reference_price": None},
        {"reference_price": NAN},
        {"reference_price": D(0)},
        {"reference_price": D(-1)},
        {"order_notional_limit": None},
        {"order_notional_limit": NAN},
        {"order_notional_limit": D(-1)},
        {"order_type": "limit", "limit_price": None},
        {"order_type": "limit", "limit_price": D(2501)},
        {"order_type": "limit", "side": "sell", "limit_price": D("0.01"), "quantity": D(251)},
        {"order_type": "stop"},
        {"reference_price": D("1E+999999")},
    ],
    GateCode.POSITION_EXCEEDS_LIMIT: [
        {"position_quantity": D(491)},
        {"position_quantity": D(400), "open_buy_quantity": D(91)},
        {"position_quantity": D(-491), "side": "sell"},
        {"position_quantity": D(-400), "side": "sell", "open_sell_quantity": D(91)},
        {"position_quantity": None},
        {"position_quantity": NAN},
        {"open_buy_quantity": None},
        {"open_sell_quantity": D(-1)},
        {"position_limit": None},
        {"position_limit": INF},
        {"order_type": "limit", "limit_price": D(90), "reference_price": None},
    ],
    GateCode.DAILY_TRADES_EXCEEDED: [
        {"trades_today": 20},
        {"trades_today": 21},
        {"trades_today": None},
        {"trades_today": -1},
        {"daily_trade_limit": None},
        {"daily_trade_limit": 0},
        {"daily_trade_limit": True},
    ],
    GateCode.DUPLICATE_ORDER: [
        {"same_order_recent": True},
        {"same_order_recent": None},
        {"duplicate_window_s": None},
    ],
    GateCode.INSUFFICIENT_CASH: [
        {"cash": D("1001.50")},
        {"cash": None},
        {"cash": NAN},
        {"cash": D(-1)},
        {"open_order_cash": D(99_000)},
        {"open_order_cash": None},
        {"fee_rate": None},
        {"slippage": NAN},
        {"slippage": D("-0.1")},
        {"side": "sell", "cash": D(1000)},
        {"side": "sell", "equity": None},
        {"side": "sell", "gross_exposure": D(99_500)},
    ],
}


def test_an_order_within_every_limit_passes() -> None:
    verdict = judged()
    assert (verdict.allowed, verdict.code, verdict.detail) == (True, "", "")


@pytest.mark.parametrize(
    ("code", "changes"), [(code, changes) for code, cases in BREACHES.items() for changes in cases], ids=str
)
def test_each_bent_fact_is_denied_by_its_own_check(code: GateCode, changes: dict[str, Any]) -> None:
    verdict = judged(**changes)
    assert not verdict.allowed
    assert verdict.code == code
    assert verdict.detail


def test_every_code_has_a_check_and_they_run_in_the_order_of_the_codes() -> None:
    assert [code for code, _ in CHECKS] == list(GateCode)


def test_every_code_is_denied_by_some_test() -> None:
    assert set(BREACHES) == set(GateCode)


def test_every_limit_is_enforced_by_a_code() -> None:
    assert set(CODE_OF) == {item.name for item in fields(Limits)}


@pytest.mark.parametrize("first", range(len(CHECKS)))
def test_when_several_checks_deny_the_first_names_the_verdict(first: int) -> None:
    changes: dict[str, Any] = {}
    for code, _ in reversed(CHECKS[first:]):
        changes |= BREACHES[code][0]
    assert judged(**changes).code == CHECKS[first][0]


def test_a_missing_fact_is_named() -> None:
    verdict = judged(cash=None)
    assert "cash is not known" in verdict.detail
    assert verdict.facts["missing"] == "cash is not known"


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": D(250)},
        {"position_quantity": D(490)},
        {"position_quantity": D(-20), "side": "buy"},
        {"trades_today": 19},
        {"cash": D("1001.5005")},  # 10 · 100 · 1.0005 · 1.001
        {"mode": "live", "paper_mode": False},
        {"quantity": D(20), "lot_size": D(10)},
        {"quantity": D("0.125"), "quantity_precision": 3, "lot_size": D("0.001")},
        {"order_type": "limit", "limit_price": D(99), "cash": D("990.99")},  # no slippage on a limit
        {"side": "sell", **LONG, "cash": D(0), "equity": None, "gross_exposure": None},
        {"side": "sell", "cash": D(1001), "equity": D(1001)},
    ],
    ids=str,
)
def test_an_order_exactly_at_a_limit_passes(changes: dict[str, Any]) -> None:
    assert judged(**changes).allowed, judged(**changes)


def test_a_reducing_order_passes_the_daily_limit() -> None:
    assert judged(side="sell", **LONG, trades_today=20).allowed
    assert judged(side="buy", position_quantity=D(-10), trades_today=99).allowed


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (GateCode.KILL_SWITCH_ACTIVE, {"kill_switch_active": True}),
        (GateCode.LIVE_TRADING_DISABLED, {"mode": "live"}),
        (GateCode.RECONCILIATION_PENDING, {"reconciliation_pending": True}),
        (GateCode.INSTRUMENT_NOT_ALLOWED, {"instrument_enabled": False}),
        (GateCode.QUANTITY_INVALID, {"quantity": D("0.5")}),
        (GateCode.ORDER_NOTIONAL_EXCEEDS_LIMIT, {"order_notional_limit": D(999)}),
        (GateCode.POSITION_EXCEEDS_LIMIT, {"position_limit": None}),
        (GateCode.DAILY_TRADES_EXCEEDED, {"trades_today": None}),
        (GateCode.DUPLICATE_ORDER, {"same_order_recent": True}),
        (GateCode.INSUFFICIENT_CASH, {"cash": None}),
    ],
)
def test_a_reducing_order_passes_no_other_check(code: GateCode, changes: dict[str, Any]) -> None:
    assert judged(**{"side": "sell", **LONG, **changes}).code == code


def test_a_position_that_has_outgrown_its_limit_can_still_be_made_smaller() -> None:
    grown = {"position_quantity": D(800), "position_value": D(80_000)}
    assert judged(side="sell", quantity=D(250), **grown).allowed
    assert judged(side="buy", quantity=D(1), **grown).code == GateCode.POSITION_EXCEEDS_LIMIT


def test_a_sell_that_crosses_zero_reduces_nothing() -> None:
    assert not reduces_risk(*_bent(side="sell", quantity=D(11)))
    assert reduces_risk(*_bent(side="sell", quantity=D(10)))
    assert not reduces_risk(*_bent(side="buy", quantity=D(1)))


def _bent(side: str, quantity: Decimal) -> tuple[OrderIntent, Exposure]:
    from dataclasses import replace

    return replace(INTENT, side=side, quantity=quantity), replace(EXPOSURE, position_quantity=D(10))


# ------------------------------------------------------------------------------------------------------ properties

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


@st.composite
def anything(draw: st.DrawFn) -> tuple[OrderIntent, Exposure, Limits, SafetyState]:
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
    limits = Limits(
        draw(flags), draw(counts), draw(numbers), draw(numbers), draw(counts),
        draw(st.sampled_from(["active", "reducing", "halted", None])),
    )  # fmt: skip
    return intent, exposure, limits, SafetyState(draw(flags), "", draw(counts), draw(flags))


@given(anything())
def test_the_gate_never_raises_and_its_facts_are_json(
    case: tuple[OrderIntent, Exposure, Limits, SafetyState],
) -> None:
    verdict = evaluate(*case)
    assert verdict.allowed is (verdict.code == "")
    json.dumps(verdict.facts, allow_nan=False)


plain = st.decimals(min_value=0, max_value=2000, places=2)


@given(
    side=st.sampled_from(["buy", "sell"]), quantity=st.integers(1, 2000).map(Decimal), price=plain,
    position=st.integers(-600, 600).map(Decimal), buys=st.integers(0, 100).map(Decimal),
    sells=st.integers(0, 100).map(Decimal), cash=st.decimals(min_value=0, max_value=200_000, places=2),
    reserved=plain, used=st.integers(0, 30),
)  # fmt: skip
def test_what_passes_keeps_every_limit(
    side: str, quantity: Decimal, price: Decimal, position: Decimal, buys: Decimal, sells: Decimal, cash: Decimal,
    reserved: Decimal, used: int,
) -> None:  # fmt: skip
    verdict = judged(
        side=side, quantity=quantity, reference_price=price, position_quantity=position, open_buy_quantity=buys,
        open_sell_quantity=sells, cash=cash, open_order_cash=reserved, trades_today=used,
    )  # fmt: skip
    if not verdict.allowed:
        return
    assert quantity * price <= LIMITS.order_notional_limit
    after = position + buys + quantity if side == "buy" else position - sells - quantity
    assert abs(after) * price <= LIMITS.position_limit or verdict.facts["reduces"]
    assert used < 20 or verdict.facts["reduces"]
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


@pytest.mark.parametrize(
    ("side", "stop", "reference", "price"),
    [("buy", 120, 100, 120), ("buy", 90, 100, 100), ("sell", 90, 100, 90), ("sell", 110, 100, 110)],
)
def test_a_stop_is_judged_by_the_highest_price_at_which_it_may_fill(
    side: str, stop: int, reference: int, price: int
) -> None:
    said = {"order_type": "stop", "side": side, "stop_price": D(stop), "reference_price": D(reference)}
    facts = judged(**said, **LONG).facts
    assert (facts["notional"], facts["stop_price"]) == (str(price * 10), str(stop))


def test_a_stop_buy_needs_cash_for_its_slippage_too() -> None:
    facts = judged(order_type="stop", stop_price=D(200)).facts
    assert facts["cash_required"] == "2003.001"  # 10·200·1.0005·1.001


@pytest.mark.parametrize("stop", [None, D(0), D(-1), NAN, 100.0])
def test_a_stop_order_without_a_sound_stop_is_denied(stop: object) -> None:
    verdict = judged(order_type="stop", stop_price=stop)
    assert (verdict.allowed, verdict.code) == (False, "ORDER_NOTIONAL_EXCEEDS_LIMIT")
    assert "stop_price" in verdict.detail
