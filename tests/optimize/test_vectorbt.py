"""The engine against figures recorded from vectorbt (`record_vectorbt.py`): per bar, per trade, per statistic, to 1e-9.

The signals behind the records were made by other code too, so that a wrong indicator would show here as a wrong trade.

One difference is meant: an account that closed a bar at or below 0.1 % of its start trades no more with the desk, and trades
on with its dust in vectorbt. Such an account is held equal up to that bar.
"""

import functools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.bars import Bars
from optimize.engine import Settings, evaluate, prepare, simulate
from optimize.engine.settings import RUIN_SHARE
from tests.workflows.samples import DAY_NS, sample_bars
from workflows.strategies import strategy_types

RECORDED = Path(__file__).resolve().parent / "data" / "vectorbt.npz"
SAMPLE = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
MADE = (
    *("gaps", "holes", "no_open", "no_close", "spikes", "collapse", "constant"),
    *("one", "two", "nothing", "starts_late", "tiny", "huge", "minutes"),
)
CASH = 10_000.0
EXACT = 1e-9
Case = dict[str, Any]


@functools.lru_cache(maxsize=1)
def recorded() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    with np.load(RECORDED) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["equity"] = np.ascontiguousarray(arrays["equity"].T).view(np.float64).ravel()
    return arrays, json.loads(arrays["told"].tobytes())


def cases_of(series: str) -> list[Case]:
    return [case for case in recorded()[1]["cases"] if case["series"] == series]


@functools.lru_cache
def bars_of(series: str) -> Bars:
    if series in SAMPLE:
        return sample_bars(series)
    prices = recorded()[0][f"bars_{series}"]
    columns = dict(zip(("open", "high", "low", "close"), prices, strict=True))
    times = np.arange(prices.shape[1], dtype=np.int64) * DAY_NS
    return Bars.of({**columns, "time": times, "volume": np.full(len(times), 1000.0)}, symbol=series)


def settings_of(case: Case) -> Settings:
    return Settings(initial_cash=CASH, fee=case["fee"], slippage=case["slippage"], direction=case["direction"])


def played(case: Case) -> Any:
    kind = strategy_types.get(case["strategy_type"])
    return simulate(
        kind,
        kind.clean(case["params"]),
        prepare(bars_of(case["series"])),
        tuple(case["window"]),
        settings_of(case),
    )


def equity_of(case: Case) -> np.ndarray:
    start, stop = case["window"]
    return recorded()[0]["equity"][case["equity_at"] : case["equity_at"] + stop - start]


def trades_of(case: Case) -> dict[str, np.ndarray]:
    arrays, told = recorded()
    first, count = case["trades_at"]
    rows = arrays["trades"][first : first + count]
    return {name: rows[:, index] for index, name in enumerate(told["trades"])}


def bars_before_ruin(equity: np.ndarray) -> int:
    """Return how many bars may be compared: up to and including the one that ruined the account, or all."""
    ruined = np.flatnonzero(equity <= RUIN_SHARE * CASH)
    return int(ruined[0]) + 1 if len(ruined) else len(equity)


def label(case: Case) -> str:
    return f"{case['strategy_type']} {case['params']} fee {case['fee']} {case['direction']} {case['window']}"


@pytest.mark.parametrize("series", SAMPLE + MADE)
def test_equity_is_vectorbts_at_every_bar(series: str) -> None:
    for case in cases_of(series):
        expected, path = equity_of(case), played(case)
        count = bars_before_ruin(expected)
        np.testing.assert_allclose(path.equity[:count], expected[:count], rtol=EXACT, atol=0, err_msg=label(case))


@pytest.mark.parametrize("series", SAMPLE + MADE)
def test_every_trade_is_vectorbts(series: str) -> None:
    for case in cases_of(series):
        expected, found, start = trades_of(case), played(case).trades, case["window"][0]
        last = bars_before_ruin(equity_of(case)) - 1
        kept, mine = expected["exit_idx"] <= last, found["exit_bar"] - start <= last
        expected, found = {name: values[kept] for name, values in expected.items()}, found[mine]
        assert len(found) == len(expected["size"]), label(case)
        np.testing.assert_array_equal(found["entry_bar"] - start, expected["entry_idx"], err_msg=label(case))
        np.testing.assert_array_equal(found["exit_bar"] - start, expected["exit_idx"], err_msg=label(case))
        np.testing.assert_array_equal(found["closed"], expected["status"] == 1, err_msg=label(case))
        signed = np.where(expected["direction"] == 1, -expected["size"], expected["size"])
        notional = expected["size"] * expected["entry_price"]
        for name, values, scale in (
            ("entry_price", expected["entry_price"], expected["entry_price"]),
            ("exit_price", expected["exit_price"], expected["exit_price"]),
            ("quantity", signed, expected["size"]),
            ("profit", expected["pnl"], notional),
            ("return", expected["return"], np.ones(len(signed))),
        ):
            wrong = np.abs(found[name] - values) > EXACT * np.maximum(scale, np.abs(values))
            assert not wrong.any(), f"{label(case)}: {name} of trades {np.flatnonzero(wrong)}"


@pytest.mark.parametrize("series", SAMPLE + MADE)
def test_every_statistic_is_vectorbts_in_a_search_too(series: str) -> None:
    prepared = prepare(bars_of(series))
    for case in cases_of(series):
        if bars_before_ruin(equity_of(case)) < len(equity_of(case)):
            continue
        kind = strategy_types.get(case["strategy_type"])
        table = evaluate(
            kind, [kind.clean(case["params"])], [prepared], np.array([[case["window"]]]), settings_of(case)
        ).as_dict()
        alone = played(case).statistics
        for name, expected in case["statistics"].items():
            for found in (float(table[name][0, 0, 0]), alone[name]):
                if expected is None:
                    assert not np.isfinite(found), f"{label(case)}: {name} {found}"
                else:
                    assert found == pytest.approx(expected, rel=EXACT, abs=EXACT), f"{label(case)}: {name}"


def test_the_records_cover_every_type_cost_and_direction_with_trades() -> None:
    traded = [case for case in recorded()[1]["cases"] if case["trades_at"][1]]
    assert {case["strategy_type"] for case in traded} >= {kind.slug for kind in strategy_types.all()} - {"model"}
    combinations = Counter((case["fee"] > 0, case["slippage"] > 0, case["direction"]) for case in traded)
    assert len(combinations) == 5
    assert min(combinations.values()) >= 20
    assert any(case["window"][0] > 0 for case in traded)


def test_some_recorded_accounts_are_ruined_and_the_desk_says_so() -> None:
    ruined = [
        case for series in MADE for case in cases_of(series) if bars_before_ruin(equity_of(case)) < len(equity_of(case))
    ]
    assert ruined
    for case in ruined:
        path = played(case)
        assert path.statistics["ruined"] == 1.0
        after = bars_before_ruin(equity_of(case))
        # Flattened at the next open that has a price: from then on nothing is held.
        assert not path.position[after + 1 :].any(), label(case)
