"""Regimes: told from the past alone, without flapping, and found where they are."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from market.bars import Bars, FloatArray
from market.models import BarImport
from market.regimes import DETECTORS, UNKNOWN, Detector, Hidden, Regimes, Trend, Volatility, detect, detector_clean
from market.regimes.hysteresis import Band, banded, confirmed
from market.regimes.measures import ewma_volatility, log_returns, realised_volatility, slope_score
from tradingsite.common.errors import ValidationFailed

SMALL: list[Detector] = [
    Volatility(window=5, reference=40, confirm=2, dwell=4),
    Volatility(measure="ewma", window=10, reference=40, confirm=2, dwell=4),
    Trend(window=15, adx_period=5, confirm=2, dwell=4),
    Hidden(train=60, confirm=2, dwell=4),
    Hidden(train=60, states=3, confirm=2, dwell=4),
]


def market(returns: FloatArray) -> Bars:
    """Return daily bars with these log returns, on weekdays from 2015 on."""
    close = 100 * np.exp(np.cumsum(returns))
    opened = np.concatenate([[100.0], close[:-1]])[: len(close)]
    days = np.busday_offset("2015-01-05", np.arange(len(close)))
    return Bars.of(
        {
            "time": days.astype("datetime64[ns]").astype(np.int64),
            "open": opened,
            "high": np.maximum(opened, close) * 1.001,
            "low": np.minimum(opened, close) * 0.999,
            "close": close,
            "volume": np.full(len(close), 1e6),
        }
    )


def noise(seed: int, count: int, *, deviation: Any = 0.01, drift: Any = 0.0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal(count) * deviation + drift


@given(seed=st.integers(0, 10_000), cut=st.integers(1, 299), which=st.sampled_from(SMALL))
@hypothesis_settings(max_examples=60)
def test_no_later_bar_changes_what_was_said_of_an_earlier_one(seed: int, cut: int, which: Detector) -> None:
    deviation = np.where((np.arange(300) // 70) % 2, 0.03, 0.008)
    bars = market(noise(seed, 300, deviation=deviation))
    whole, part = detect(bars, which), detect(bars.slice(0, cut), which)
    assert np.array_equal(part.state, whole.state[:cut])
    assert np.allclose(part.value, whole.value[:cut], rtol=1e-9, atol=0, equal_nan=True)


def test_a_detector_that_looks_one_bar_ahead_is_caught_by_that_comparison() -> None:
    class Peeking(Volatility):
        def read(self, bars: Bars) -> tuple[FloatArray, Any]:
            value, state = super().read(bars)
            return np.roll(value, -1), np.roll(state, -1)

    bars, which = market(noise(3, 300, deviation=np.where(np.arange(300) < 150, 0.01, 0.04))), Peeking(reference=40)
    whole = detect(bars, which)
    assert any(not np.array_equal(detect(bars.slice(0, cut), which).state, whole.state[:cut]) for cut in range(60, 300))


@given(
    raw=st.lists(st.integers(-1, 2), max_size=200),
    confirm=st.integers(1, 6),
    dwell=st.integers(0, 20),
)
def test_no_regime_is_shorter_than_it_may_be_and_none_begins_unseen(raw: list[int], confirm: int, dwell: int) -> None:
    states = np.array(raw, dtype=np.int8)
    found = confirmed(states, confirm=confirm, dwell=dwell)
    changes = np.flatnonzero(np.diff(found, prepend=np.int8(UNKNOWN)))
    assert all(later - earlier >= max(dwell, 1) for earlier, later in itertools.pairwise(changes))
    for at in changes:
        assert (states[at - confirm + 1 : at + 1] == found[at]).all()
        assert found[at] != UNKNOWN


def test_without_the_two_guards_the_same_states_flap() -> None:
    states = np.tile(np.array([0, 2], dtype=np.int8), 50)
    assert len(np.flatnonzero(np.diff(confirmed(states, confirm=1, dwell=0)))) == 99
    assert len(np.flatnonzero(np.diff(confirmed(states, confirm=2, dwell=0)))) == 0
    assert len(np.flatnonzero(np.diff(confirmed(states, confirm=1, dwell=25)))) <= 4


def test_a_level_is_left_at_another_height_than_it_was_entered_at() -> None:
    values = np.array([1.0, 2.1, 1.9, 1.7, 1.4, 1.9, np.nan, 0.4, 0.55, 0.7])
    band = Band(enter_low=0.5, leave_low=0.6, leave_high=1.5, enter_high=2.0)
    assert banded(values, band).tolist() == [1, 2, 2, 2, 1, 1, UNKNOWN, 0, 0, 1]


@pytest.mark.parametrize("which", [Volatility(), Volatility(measure="ewma"), Hidden()], ids=lambda d: d.as_dict())
@pytest.mark.parametrize("seed", range(3))
def test_a_market_that_turns_wild_is_called_turbulent_soon_and_calm_again_after_it(which: Detector, seed: int) -> None:
    # Wild for a while before, too: who learns what wild is must have seen it.
    deviation = np.full(1800, 0.008)
    deviation[520:620] = deviation[900:1300] = 0.03
    found = detect(market(noise(seed, 1800, deviation=deviation)), which)
    before = [found.label(index) for index in range(800, 900)]
    assert before.count("turbulent") < 5
    assert "turbulent" in [found.label(index) for index in range(900, 925)]
    assert "calm" in [found.label(index) for index in range(1300, 1345)]


@pytest.mark.parametrize("seed", range(3))
def test_a_market_that_rises_and_then_falls_is_called_so(seed: int) -> None:
    drift = np.repeat([0.0, 0.004, -0.004], 250)
    found = detect(market(noise(seed, 750, drift=drift)), Trend())
    assert found.label(400) == "up"
    assert found.label(700) == "down"


def test_a_random_walk_has_few_regimes_and_a_t_statistic_would_have_found_many() -> None:
    counts = {which.kind: [len(detect(market(noise(s, 2000)), which).changes()) for s in range(2)] for which in
              (Volatility(), Trend(), Hidden())}  # fmt: skip
    assert {kind: max(found) <= 25 for kind, found in counts.items()} == dict.fromkeys(DETECTORS, True)


def test_the_slope_of_a_random_walk_is_standard_normal_in_its_score() -> None:
    close = np.exp(np.cumsum(np.random.default_rng(5).standard_normal((4000, 60)) * 0.01, axis=1))
    scores = np.array([slope_score(row, window=60)[-1] for row in close])
    assert abs(scores.mean()) < 0.06
    assert abs(scores.std() - 1) < 0.06


def test_volatility_is_that_of_the_log_returns_by_hand() -> None:
    close = np.array([100.0, 110.0, 99.0, 104.0, 104.0])
    returns = np.log(close[1:] / close[:-1])
    assert realised_volatility(close, window=3)[-1] == pytest.approx(np.std(returns[-3:], ddof=1))
    variance = np.mean(returns[:2] ** 2)
    for each in returns[2:]:
        variance = 0.9 * variance + 0.1 * each**2
    assert ewma_volatility(close, decay=0.9, warm_up=2)[-1] == pytest.approx(np.sqrt(variance))


@pytest.mark.parametrize("which", SMALL, ids=lambda d: d.as_dict())
@pytest.mark.parametrize(
    "returns",
    [np.zeros(0), np.zeros(1), np.zeros(300), np.where(np.arange(300) == 150, 3.0, 0.001)],
    ids=["no bar", "one bar", "constant", "a spike"],
)
def test_a_market_that_says_nothing_has_no_false_regime(which: Detector, returns: FloatArray) -> None:
    found = detect(market(returns), which)
    assert isinstance(found, Regimes)
    assert len(found.state) == len(returns)
    if not returns.any():
        assert (found.state <= 1).all()
    assert not np.isinf(found.value[np.isfinite(found.value)]).any()


def test_missing_prices_interrupt_and_do_not_invent() -> None:
    returns = noise(1, 400)
    bars = market(returns)
    close = bars.close.copy()
    close[200:230] = np.nan
    columns = {name: getattr(bars, name) for name in ("time", "open", "high", "low", "volume")}
    holed = Bars.of({**columns, "close": close})
    assert np.isnan(log_returns(close)[200:231]).all()
    for which in SMALL:
        assert len(detect(holed, which).state) == 400


@pytest.mark.parametrize(
    ("given_", "pointer"),
    [
        ({}, "regime/kind"),
        ({"kind": "tea leaves"}, "regime/kind"),
        ({"kind": "volatility", "states": 2}, "regime/states"),
        ({"kind": "volatility", "window": 2.5}, "regime/window"),
        ({"kind": "volatility", "window": True}, "regime/window"),
        ({"kind": "volatility", "high": float("nan")}, "regime/high"),
        ({"kind": "volatility", "measure": "guess"}, "regime/measure"),
        ({"kind": "trend", "enter": 10, "leave": 20}, "regime/leave"),
        ({"kind": "hmm", "states": 4}, "regime/states"),
    ],
)
def test_a_wrong_setting_is_named(given_: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ValidationFailed) as failure:
        detector_clean(given_)
    assert [error.pointer for error in failure.value.errors] == [pointer]


@pytest.mark.parametrize("which", SMALL, ids=lambda d: d.as_dict())
def test_a_detector_written_down_is_the_same_detector_again(which: Detector) -> None:
    assert detector_clean(which.as_dict()) == which


def test_the_api_shows_the_regimes_of_real_prices(sample: BarImport, api: Callable[..., APIClient]) -> None:
    answer = api("viewer").get(
        "/api/market/regimes?symbol=IBM&kind=hmm&start=2008-06-01T00:00:00Z&end=2009-06-01T00:00:00Z"
    )
    body = answer.json()
    assert answer.status_code == 200, body
    assert body["detector"]["train"] == 504
    assert body["count"] == len(body["regimes"]) > 240
    autumn = [row["regime"] for row in body["regimes"] if "2008-10-15" < row["time"] < "2008-12-01"]
    assert set(autumn) == {"turbulent"}
    assert body["changes"]
    assert all(change["time"] >= "2008-06-01" for change in body["changes"])


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("symbol=IBM&kind=moon", "kind"),
        ("symbol=IBM&window=1", "window"),
        ("symbol=IBM&kind=hmm&window=20", "window"),
        ("symbol=IBM&states=two", "states"),
        ("symbol=IBM&colour=red", "colour"),
        ("", "symbol"),
    ],
)
def test_a_wrong_question_is_a_400_that_names_the_parameter(
    sample: BarImport, api: Callable[..., APIClient], query: str, pointer: str
) -> None:
    answer = api("viewer").get(f"/api/market/regimes?{query}")
    assert answer.status_code == 400
    assert [error["pointer"].strip("/") for error in answer.json()["errors"]] == [pointer]
