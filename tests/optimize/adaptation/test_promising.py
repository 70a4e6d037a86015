"""What parameters promise, and when that is broken."""

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimize.adaptation import promising
from optimize.adaptation.promising import FIRST, Promise, breached, floor, promise

FloatArray = npt.NDArray[np.float64]
PROMISE = Promise(mean=0.001, deviation=0.01, width=2.5, level=0.05, bars=60, drawdown=0.1)


def drawn(rng: np.random.Generator, count: int, likeness: float = 0.0) -> FloatArray:
    """Return fat-tailed returns, each like the one before it."""
    returns: FloatArray = rng.standard_t(5, count) * 0.008
    for at in range(1, count):
        returns[at] += likeness * returns[at - 1]
    return returns + 0.0005


@pytest.mark.parametrize(("likeness", "past", "bars"), [(0.0, 200, 60), (0.2, 300, 60), (0.0, 100, 120)])
def test_returns_of_the_same_making_break_it_at_about_its_level_at_most(
    likeness: float, past: int, bars: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five in a hundred; of 150 promises up to 13 would be a rate of 5 % with a chance of 97 %."""
    monkeypatch.setattr(promising, "PATHS", 300)
    rng, broken = np.random.default_rng(3), 0
    for seed in range(150):
        returns = drawn(rng, past + bars, likeness)
        made = promise(returns[:past], bars=bars, seed=seed)
        broken += breached(made, np.log1p(returns[past:])) is not None
    assert broken <= 13


def test_a_collapse_is_noticed_within_the_bars_that_it_says() -> None:
    rng = np.random.default_rng(5)
    made = promise(drawn(rng, 300) + 0.001, bars=120)
    # One deviation a bar below what was promised.
    lost = made.mean - made.deviation
    bars = made.notices(lost)
    assert bars is not None
    assert bars <= 15
    assert breached(made, np.full(120, lost)) == bars
    noisy = [breached(made, lost + rng.normal(0, made.deviation, 120)) for _ in range(50)]
    assert None not in noisy
    assert sum(each is not None and each <= 3 * bars for each in noisy) >= 40
    assert made.notices(made.mean) is None
    assert made.notices(made.mean - 1e-6) is None


@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=80), st.data())
def test_higher_returns_are_never_noticed_sooner(returns: list[float], data: st.DataObject) -> None:
    higher = [value + data.draw(st.floats(0, 0.1)) for value in returns]
    one, other = breached(PROMISE, returns), breached(PROMISE, higher)
    if one is None:
        assert other is None
    elif other is not None:
        assert one <= other


@given(st.lists(st.floats(-0.2, 0.2), max_size=80))
def test_it_is_broken_on_the_first_bar_below_the_floor_that_counts(returns: list[float]) -> None:
    below = [
        h for h in range(FIRST, min(len(returns), PROMISE.bars) + 1) if sum(returns[:h]) < floor(PROMISE, h) - 1e-12
    ]
    found = breached(PROMISE, returns)
    if below:
        assert found is not None
        assert found <= below[0]
    if found is not None:
        assert found >= FIRST
        assert sum(returns[:found]) < floor(PROMISE, found) + 1e-12


def test_the_first_bars_and_those_after_the_watch_break_nothing() -> None:
    assert breached(PROMISE, [-0.5] * (FIRST - 1)) is None
    assert breached(PROMISE, [-0.5] * FIRST) == FIRST
    assert breached(PROMISE, [0.001] * PROMISE.bars + [-0.5]) is None
    # What is not known is no promise kept.
    assert breached(PROMISE, [0.001] * 6 + [math.nan]) == 7


def test_a_promise_made_on_fewer_bars_or_for_more_of_them_is_wider() -> None:
    returns = drawn(np.random.default_rng(6), 800)
    short, long = promise(returns[:100], bars=60), promise(returns, bars=60)
    assert short.width > long.width
    assert promise(returns, bars=400).width > long.width
    assert promise(returns, bars=60, level=0.2).width < long.width
    assert promise(returns, bars=400).drawdown > long.drawdown > 0


def test_the_same_seed_makes_the_same_promise_and_it_survives_being_written_down() -> None:
    returns = drawn(np.random.default_rng(7), 150)
    made = promise(returns, bars=400, seed=9)
    assert made == promise(returns, bars=400, seed=9) != promise(returns, bars=400, seed=10)
    assert Promise.of(json.loads(json.dumps(made.as_dict(), allow_nan=False))) == made
    assert made.mean == pytest.approx(np.log1p(returns).mean())


def test_whoever_stops_it_is_heard() -> None:
    def check() -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        promise(drawn(np.random.default_rng(8), 100), bars=20, check=check)


@pytest.mark.parametrize(
    ("returns", "bars", "level"),
    [
        ([0.01] * 19, 20, 0.05),
        ([0.0] * 50, 20, 0.05),
        ([0.01, -1.0] * 20, 20, 0.05),
        ([0.01, math.nan] * 20, 20, 0.05),
        ([0.01, -0.01] * 20, 4, 0.05),
        ([0.01, -0.01] * 20, 20, 0.0),
        ([0.01, -0.01] * 20, 20, 1.0),
    ],
)
def test_what_promises_nothing_is_refused(returns: list[float], bars: int, level: float) -> None:
    with pytest.raises(ValueError, match=r"returns|bars"):
        promise(returns, bars=bars, level=level)


def test_returns_that_are_mostly_nothing_still_make_a_finite_promise() -> None:
    returns = np.zeros(200)
    returns[[50, 51, 52]] = 0.01, -0.02, 0.005
    made = promise(returns, bars=100)
    assert math.isfinite(made.width)
    assert floor(made, 100) < 0
