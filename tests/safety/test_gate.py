"""What the gate lets pass, what it denies, and in which order it looks."""

from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest

from safety.choices import GateCode
from safety.facts import NARROWABLE
from safety.gate import CHECKS, Exposure, Limits, NarrowerLimits, OrderIntent, reduces_risk
from safety.selectors import CODE_OF
from tests.safety.cases import EXPOSURE, INTENT, STRATEGY, D, judged

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
        {"breaker_level": "reduce"},
        {"breaker_level": "kill"},
        {"breaker_level": None},
        {"breaker_level": "tripped"},
        {"breaker_level": "reduce", "side": "sell", **LONG, "quantity": D(11)},
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
    GateCode.MARKET_CLOSED: [
        {"opens_in_s": 1},
        {"opens_in_s": 3601, "open_wait_limit_s": 3600},
        {"opens_in_s": None},
        {"opens_in_s": -1},
        {"opens_in_s": True},
        {"open_wait_limit_s": None},
        {"open_wait_limit_s": -1},
    ],
    GateCode.DATA_STALE: [
        {"data_age_s": 93_601},
        {"data_age_s": None},
        {"data_age_s": -1},
        {"data_age_s": 0.5},
        {"data_max_age_s": None},
    ],
    GateCode.PRICE_OUT_OF_COLLAR: [
        {"order_type": "limit", "limit_price": D("110.01")},
        {"order_type": "limit", "side": "sell", "limit_price": D("89.99")},
        {"slippage": D("0.11")},
        {"slippage": NAN},
        {"slippage": D("-0.1")},
        {"reference_price": None},
        {"reference_price": NAN},
        {"reference_price": D(0)},
        {"reference_price": D(-1)},
        {"order_type": "limit", "limit_price": None},
        {"order_type": "limit", "limit_price": D(90), "reference_price": None},
        {"price_collar": None},
        {"price_collar": NAN},
        {"price_collar": D(-1)},
    ],
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
        {"order_notional_limit": None},
        {"order_notional_limit": NAN},
        {"order_notional_limit": D(-1)},
        {"order_type": "limit", "limit_price": D(105), "quantity": D(239)},
        {"order_type": "limit", "side": "sell", "limit_price": D(95), "quantity": D(251)},
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
    ],
    GateCode.EXPOSURE_EXCEEDS_LIMIT: [
        {"gross_exposure": D(199_001)},
        {"gross_exposure": D(190_000), "other_open_value": D(9_001)},
        {"gross_exposure": D(199_001), "side": "sell"},
        {"gross_exposure": None},
        {"gross_exposure": D(-1)},
        {"position_value": NAN},
        {"other_open_value": None},
        {"exposure_limit": None},
        {"exposure_limit": INF},
        {"exposure_limit": D(-1)},
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
    GateCode.DAILY_LOSS_EXCEEDED: [
        {"day_pnl": D("-5000.01")},
        {"day_pnl": D("-0.01"), "daily_loss_limit": D(0)},
        {"day_pnl": None},
        {"day_pnl": NAN},
        {"daily_loss_limit": None},
        {"daily_loss_limit": D(-5000)},
    ],
    GateCode.DRAWDOWN_EXCEEDED: [
        {"equity": D("79999.99")},
        {"equity": D(0)},
        {"equity": D(-10)},
        {"equity": None},
        {"equity_peak": None},
        {"equity_peak": D(0)},
        {"equity_peak": D(125_001)},
        {"drawdown_limit": None},
        {"drawdown_limit": D("-0.2")},
    ],
    GateCode.ORDER_RATE_EXCEEDED: [
        {"orders_last_minute": 600},
        {"orders_last_minute": None},
        {"order_rate_limit": 0},
        {"order_rate_limit": None},
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
        {"side": "sell", "cash": D(1000)},
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
        {"side": "sell", "cash": D(1001), "equity": D(1001), "equity_peak": D(1001)},
        {"opens_in_s": 3600, "open_wait_limit_s": 3600},
        {"data_age_s": 93_600},
        {"order_type": "limit", "limit_price": D(110)},
        {"order_type": "limit", "limit_price": D("0.01")},  # far better than the market: it gives nothing away
        {"gross_exposure": D(199_000)},
        {"day_pnl": D(-5000)},
        {"equity": D(80_000)},
        {"equity": D(300_000)},
        {"orders_last_minute": 599},
    ],
    ids=str,
)
def test_an_order_exactly_at_a_limit_passes(changes: dict[str, Any]) -> None:
    assert judged(**changes).allowed, judged(**changes)


@pytest.mark.parametrize(
    "beyond",
    [
        {"trades_today": 20},
        {"orders_last_minute": 600},
        {"day_pnl": D(-90_000)},
        {"equity": D(10_000)},
        {"day_pnl": None, "equity": None, "gross_exposure": None},
        {"exposure_limit": D(1)},
    ],
    ids=str,
)
def test_a_reducing_order_passes_counts_losses_and_what_it_makes_smaller(beyond: dict[str, Any]) -> None:
    assert judged(side="sell", **{**LONG, **beyond}).allowed
    assert judged(side="buy", position_quantity=D(-10), **beyond).allowed
    assert not judged(**beyond).allowed


def test_a_tripped_breaker_lets_orders_pass_that_reduce_and_a_warning_lets_all_pass() -> None:
    assert judged(side="sell", **LONG, breaker_level="reduce").allowed
    assert judged(side="sell", **LONG, breaker_level="kill").allowed
    assert judged(breaker_level="warn").allowed


def test_hummingbots_sign_a_gain_never_trips_the_loss_limit_and_a_loss_always_does() -> None:
    assert judged(day_pnl=D(10_000)).allowed
    assert judged(day_pnl=D(1_000_000), equity=D(1_100_000)).allowed
    assert judged(day_pnl=D(-10_000)).code == GateCode.DAILY_LOSS_EXCEEDED


def test_freqtrades_blind_spot_a_loss_counts_before_the_trade_is_closed() -> None:
    still_open = {"position_quantity": D(100), "position_value": D(10_000), "gross_exposure": D(10_000)}
    assert judged(**still_open, equity=D(70_000)).code == GateCode.DRAWDOWN_EXCEEDED
    assert judged(**still_open, day_pnl=D(-6_000)).code == GateCode.DAILY_LOSS_EXCEEDED


# ---------------------------------------------------------------------------------------------------- narrower limits

OF_STRATEGY, OF_INSTRUMENT = f"strategy {STRATEGY}", "instrument AAPL"


def narrowed(scope: str, trades: int | None = 0, rate: int | None = 0, **values: Any) -> NarrowerLimits:
    return NarrowerLimits(scope, values, trades, rate)


# The limit, a figure of it that the passing order breaches while it keeps the desk's, and the facts of that order.
NARROWED: dict[str, tuple[Any, dict[str, Any]]] = {
    "open_wait_limit_s": (10, {"opens_in_s": 11, "open_wait_limit_s": 100}),
    "data_max_age_s": (10, {"data_age_s": 11}),
    "price_collar": (D("0.01"), {"order_type": "limit", "limit_price": D(102)}),
    "order_notional_limit": (D(999), {}),
    "position_limit": (D(999), {}),
    "exposure_limit": (D(999), {}),
    "daily_trade_limit": (3, {}),
    "daily_loss_limit": (D(10), {"day_pnl": D(-11)}),
    "drawdown_limit": (D("0.01"), {"equity": D(98_000)}),
    "order_rate_limit": (3, {}),
}


def test_every_narrowable_limit_is_narrowed_by_a_test() -> None:
    assert tuple(NARROWED) == NARROWABLE


@pytest.mark.parametrize("scope", [OF_STRATEGY, OF_INSTRUMENT])
@pytest.mark.parametrize("name", NARROWED)
def test_the_strictest_limit_binds_and_the_verdict_says_whose_it_is(name: str, scope: str) -> None:
    value, facts = NARROWED[name]
    own = {"trades": 3, "rate": 3}
    assert judged(**facts).allowed
    wider = narrowed("instrument wider", trades=0, rate=0, **{name: value * 1000})
    verdict = judged(**facts, narrower=(wider, narrowed(scope, **own, **{name: value})))
    assert verdict.code == CODE_OF[name]
    assert verdict.facts["bound"] == {"limit": name, "scope": scope}
    assert scope in verdict.detail
    assert judged(**facts, narrower=(wider,)).allowed, "a wider limit loosens nothing"


def test_a_desk_limit_that_binds_is_named_as_the_desks() -> None:
    wider = narrowed(OF_STRATEGY, order_notional_limit=D(1_000_000))
    verdict = judged(quantity=D(251), narrower=(wider,))
    assert verdict.facts["bound"] == {"limit": "order_notional_limit", "scope": "desk"}


@pytest.mark.parametrize("broken", [NAN, INF, D(-1), None, "5", 5.0, True])
def test_a_narrower_limit_that_is_no_number_denies(broken: Any) -> None:
    verdict = judged(narrower=(narrowed(OF_STRATEGY, position_limit=broken),))
    assert (verdict.code, verdict.allowed) == (GateCode.POSITION_EXCEEDS_LIMIT, False)
    assert f"position_limit of {OF_STRATEGY}" in verdict.facts["missing"]


@pytest.mark.parametrize("name", ["daily_trade_limit", "order_rate_limit"])
def test_a_count_of_a_scope_that_nobody_knows_denies(name: str) -> None:
    verdict = judged(narrower=(narrowed(OF_STRATEGY, trades=None, rate=None, **{name: 5}),))
    assert verdict.code == CODE_OF[name]


def test_a_scope_counts_its_own_orders_not_the_accounts() -> None:
    assert judged(trades_today=19, narrower=(narrowed(OF_STRATEGY, trades=2, daily_trade_limit=3),)).allowed


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (GateCode.KILL_SWITCH_ACTIVE, {"kill_switch_active": True}),
        (GateCode.LIVE_TRADING_DISABLED, {"mode": "live"}),
        (GateCode.RECONCILIATION_PENDING, {"reconciliation_pending": True}),
        (GateCode.INSTRUMENT_NOT_ALLOWED, {"instrument_enabled": False}),
        (GateCode.MARKET_CLOSED, {"opens_in_s": 1}),
        (GateCode.DATA_STALE, {"data_age_s": 93_601}),
        (GateCode.PRICE_OUT_OF_COLLAR, {"slippage": D("0.11")}),
        (GateCode.QUANTITY_INVALID, {"quantity": D("0.5")}),
        (GateCode.ORDER_NOTIONAL_EXCEEDS_LIMIT, {"order_notional_limit": D(999)}),
        (GateCode.POSITION_EXCEEDS_LIMIT, {"position_limit": None}),
        (GateCode.EXPOSURE_EXCEEDS_LIMIT, {"exposure_limit": None}),
        (GateCode.DAILY_TRADES_EXCEEDED, {"trades_today": None}),
        (GateCode.DAILY_LOSS_EXCEEDED, {"daily_loss_limit": None}),
        (GateCode.DRAWDOWN_EXCEEDED, {"drawdown_limit": None}),
        (GateCode.ORDER_RATE_EXCEEDED, {"orders_last_minute": None}),
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
