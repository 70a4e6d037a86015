"""The pure engine of rebalancing: what it may never do, whatever is held, aimed at and owed."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.choices import OrderSide
from portfolio.drift import Held, measure
from portfolio.ledger import ZERO, amount
from portfolio.rebalancing import Line, Plan, Rates, cost, plan, proceeds

D = Decimal
FREE = Rates(ZERO, ZERO)
COSTLY = Rates(D("0.001"), D("0.0005"))


def line(symbol: str, weight: str, quantity: str = "0", price: str | None = "100", **more: Any) -> Line:
    said = {"open_buys": ZERO, "open_sells": ZERO, "lot_size": D(1), "quantity_precision": 0, **more}
    return Line(symbol, D(weight), D(quantity), price=None if price is None else D(price), **said)


def planned(*lines: Line, equity: str = "10000", cash: str = "0", rates: Rates = FREE, **more: Any) -> Plan:
    said = {"min_trade": ZERO, "sell_outside": False, **more}
    return plan(lines, equity=D(equity), cash=D(cash), rates=rates, **said)


def orders(found: Plan) -> list[tuple[str, str, str]]:
    return [(trade.symbol, trade.side.value, f"{trade.quantity.normalize():f}") for trade in found.trades]


def codes(found: Plan) -> dict[str, str]:
    return {skip.symbol: skip.code for skip in found.skipped}


def test_sells_come_first_and_the_largest_of_each_side_leads() -> None:
    found = planned(
        line("BUYS", "0.2"), line("BUYL", "0.5"), line("SELLS", "0.1", "20"), line("SELLL", "0.1", "60"), cash="2000"
    )
    assert orders(found) == [
        ("SELLL", "sell", "50"), ("SELLS", "sell", "10"), ("BUYL", "buy", "50"), ("BUYS", "buy", "20"),
    ]  # fmt: skip


def test_quantities_are_whole_lots_rounded_down() -> None:
    found = planned(line("ACME", "0.5", price="103", lot_size=D(5)), cash="10000")
    assert orders(found) == [("ACME", "buy", "45")]
    found = planned(line("COIN", "0.5", price="103", lot_size=D("0.001"), quantity_precision=3), cash="10000")
    assert orders(found) == [("COIN", "buy", "48.543")]


@pytest.mark.parametrize(
    ("what", "more", "code"),
    [
        (line("ACME", "0.005", price="103"), {}, "LESS_THAN_A_LOT"),
        (line("ACME", "0.05"), {"min_trade": D("500.01")}, "BELOW_MINIMUM"),
        (line("ACME", "0.5", price=None), {}, "NO_PRICE"),
        (line("ACME", "0.5", price="0"), {}, "NO_PRICE"),
        (line("ACME", "0", "10", outside=True), {}, "OUTSIDE_GOAL"),
        (line("ACME", "0.1", "5", open_buys=D(10), open_sells=D(5)), {"equity": "0.01"}, "ALREADY_ORDERED"),
        (line("ACME", "0.5"), {"cash": "50"}, "CASH_SHORT"),
    ],
)
def test_what_is_left_out_is_said_with_its_reason(what: Line, more: dict[str, Any], code: str) -> None:
    found = planned(what, **{"cash": "10000", **more})
    assert (orders(found), codes(found)) == ([], {"ACME": code})


def test_a_trade_of_exactly_the_minimum_is_made() -> None:
    assert orders(planned(line("ACME", "0.05"), cash="10000", min_trade=D(500))) == [("ACME", "buy", "5")]


def test_what_the_goal_does_not_name_is_closed_only_when_told() -> None:
    lines = line("LONG", "0", "10", outside=True), line("SHORT", "0", "-4", outside=True)
    assert orders(planned(*lines, cash="10000")) == []
    assert orders(planned(*lines, cash="10000", sell_outside=True)) == [("LONG", "sell", "10"), ("SHORT", "buy", "4")]


def test_buys_share_what_the_cash_covers() -> None:
    for cash in ("5000", "5000.1"):
        found = planned(line("AAA", "0.6"), line("BBB", "0.4"), cash=cash)
        assert orders(found) == [("AAA", "buy", "30"), ("BBB", "buy", "20")]


def test_fees_and_slippage_are_paid_out_of_the_buys() -> None:
    found = planned(line("ACME", "1", price="10"), cash="10000", rates=COSTLY)
    assert orders(found) == [("ACME", "buy", "998")]
    assert cost(D(998), D(10), COSTLY) <= 10_000 < cost(D(999), D(10), COSTLY)
    assert found.trades[0].fee == D("9.984990")


def test_what_is_ordered_already_is_not_ordered_again() -> None:
    found = planned(line("ACME", "0.5", "10", open_buys=D(40)), line("BETA", "0", "30", open_sells=D(30)), cash="3000")
    assert (orders(found), codes(found)) == ([], {})


lots = st.sampled_from([(D(1), 0), (D(10), 0), (D("0.01"), 2), (D("0.5"), 1)])


@st.composite
def desks(draw: st.DrawFn) -> dict[str, Any]:
    """An account of up to five symbols, its targets together at most 1, its open orders covered."""
    names = ["AAA", "BBB", "CCC", "DDD", "EEE"][: draw(st.integers(1, 5))]
    lines = []
    for name in names:
        lot, precision = draw(lots)
        held = lot * draw(st.integers(0, 300))
        outside = draw(st.booleans()) and held > 0
        lines.append(
            Line(
                symbol=name,
                target_weight=ZERO if outside else draw(st.decimals("0.01", "0.2", places=3)),
                quantity=held,
                open_buys=lot * draw(st.integers(0, 5)),
                open_sells=min(lot * draw(st.integers(0, 5)), held),
                price=draw(st.decimals("0.5", "500", places=2)),
                lot_size=lot,
                quantity_precision=precision,
                outside=outside,
            )
        )
    cash = draw(st.decimals("1", "50000", places=2))
    equity = cash + sum((each.quantity * (each.price or ZERO) for each in lines), ZERO)
    return {
        "lines": lines,
        "equity": equity,
        "cash": cash,
        "rates": draw(st.sampled_from([FREE, COSTLY, Rates(D("0.02"), D("0.01"))])),
        "min_trade": draw(st.sampled_from([ZERO, D(100), D(5000)])),
        "sell_outside": draw(st.booleans()),
    }


def by_symbol(desk: Mapping[str, Any]) -> dict[str, Line]:
    return {each.symbol: each for each in desk["lines"]}


@given(desks())
def test_no_plan_spends_what_is_not_there_or_sells_what_is_not_held(desk: dict[str, Any]) -> None:
    found, lines = plan(**desk), by_symbol(desk)
    sells = [trade for trade in found.trades if trade.side is OrderSide.SELL]
    buys = [trade for trade in found.trades if trade.side is OrderSide.BUY]
    assert list(found.trades) == [*sells, *buys], "sells come first"
    spent = sum((cost(trade.quantity, trade.price, desk["rates"]) for trade in buys), ZERO)
    assert spent <= desk["cash"] + sum((proceeds(trade, desk["rates"]) for trade in sells), ZERO)
    for trade in sells:
        assert trade.quantity <= lines[trade.symbol].quantity - lines[trade.symbol].open_sells
    for trade in found.trades:
        assert trade.quantity % lines[trade.symbol].lot_size == 0
        assert trade.notional >= desk["min_trade"]
        assert desk["sell_outside"] or not lines[trade.symbol].outside


@given(desks())
def test_every_symbol_is_traded_once_or_left_out_once(desk: dict[str, Any]) -> None:
    found = plan(**desk)
    told = [*(trade.symbol for trade in found.trades), *(skip.symbol for skip in found.skipped)]
    assert len(told) == len(set(told))
    for each in desk["lines"]:
        aimed = each.target_weight * desk["equity"]
        on_target = amount(each.quantity + each.open_buys - each.open_sells, each.price) == amount(aimed)
        assert each.symbol in told or on_target


@given(desks())
def test_no_plan_makes_the_drift_worse(desk: dict[str, Any]) -> None:
    """Without fees and open orders: each trade goes towards its target and not beyond."""
    lines = [replace(each, open_buys=ZERO, open_sells=ZERO) for each in desk["lines"]]
    found = plan(**{**desk, "lines": lines, "rates": FREE})
    for trade in found.trades:
        each = next(each for each in lines if each.symbol == trade.symbol)
        before = each.target_weight * desk["equity"] - each.quantity * trade.price
        after = before - trade.side.sign * trade.quantity * trade.price
        assert abs(after) < abs(before)
        assert after * before >= 0


@given(desks())
def test_a_plan_whose_orders_rest_is_not_planned_again(desk: dict[str, Any]) -> None:
    """A second rebalance while the first one's orders are open sells nothing more, and buys with what is left at most."""
    first, lines = plan(**desk), by_symbol(desk)
    left = desk["cash"]
    for trade in first.trades:
        each = lines[trade.symbol]
        if trade.side is OrderSide.BUY:
            lines[trade.symbol] = replace(each, open_buys=each.open_buys + trade.quantity)
            left -= cost(trade.quantity, trade.price, desk["rates"])
        else:
            lines[trade.symbol] = replace(each, open_sells=each.open_sells + trade.quantity)
    second = plan(**{**desk, "lines": list(lines.values()), "cash": left})
    assert [trade for trade in second.trades if trade.side is OrderSide.SELL] == []
    assert sum((cost(t.quantity, t.price, desk["rates"]) for t in second.trades), ZERO) <= max(left, ZERO)
    if not any(skip.code == "CASH_SHORT" for skip in first.skipped) and not _shrunk(desk, first):
        assert second.trades == ()


def _shrunk(desk: Mapping[str, Any], found: Plan) -> bool:
    """Whether the cash did not cover all buys: then a second plan may spend what rounding left over."""
    rich = plan(**{**desk, "cash": D(10) ** 9})
    return rich.trades != found.trades


@given(desks())
def test_with_cash_enough_and_lots_small_the_targets_are_met(desk: dict[str, Any]) -> None:
    lines = [
        replace(each, open_buys=ZERO, open_sells=ZERO, lot_size=D("1e-8"), quantity_precision=8)
        for each in desk["lines"]
    ]
    found = plan(**{**desk, "lines": lines, "rates": FREE, "min_trade": ZERO, "sell_outside": True})
    held = {each.symbol: each.quantity for each in lines}
    cash = desk["cash"]
    for trade in found.trades:
        held[trade.symbol] += trade.side.sign * trade.quantity
        cash -= trade.side.sign * trade.notional
    prices = {each.symbol: each.price or ZERO for each in lines}
    targets = {each.symbol: each.target_weight for each in lines if not each.outside}
    after = measure(targets, {s: Held(q, amount(q, prices[s])) for s, q in held.items()}, cash=cash)
    assert after is None or after.total < D("0.0001")
