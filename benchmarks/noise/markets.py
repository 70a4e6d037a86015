"""Searches by the desk's own engine and strategy types over prices whose truth is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from market.bars import Bars
from optimize import engine
from optimize.honesty import Assessment, Search, Sums, assess, axes_of, block_bounds, blocks_for
from workflows.strategies import StrategyType, strategy_types

FloatArray = npt.NDArray[np.float64]

DAY_NS = 86_400_000_000_000
FOLDS, TRAIN_RATIO = 5, 0.6
WARM_UP = 260
COSTS = engine.Settings(fee=0.0005, slippage=0.0005)


def walk(bars: int, rng: np.random.Generator, *, drift: float = 0.0, trend: float = 0.0) -> FloatArray:
    """Return returns per day of one symbol, fat-tailed, wilder and calmer in turns, with 1 % a day on average.

    Args:
        drift: of the price, a year's Sharpe ratio of holding it; nothing can be earned by timing it.
        trend: strength of stretches, of sixty days on average, in which the price drifts up or down by turns: the edge
            that those find who follow trends, in standard deviations a day.
    """
    calm = np.exp(0.4 * _slow(bars, 0.98, rng))
    shocks = rng.standard_t(5, bars) / np.sqrt(5 / 3) * calm
    turns = rng.random(bars) < 1 / 60
    side = np.where(np.cumsum(turns) % 2 == 0, 1.0, -1.0) * rng.choice([-1.0, 1.0])
    return 0.01 * (shocks / shocks.std() + drift / np.sqrt(252) + trend * side)


@dataclass(frozen=True)
class Cycle:
    """How a price drifts for a while: up and down in cycles of `length` bars.

    Attributes:
        strength: amplitude of the drift, in standard deviations of the noise.
        reversal: part of the mean of the last `over` shocks, at most eight, that the next bar takes back.
    """

    bars: int
    length: int
    strength: float
    reversal: float = 0.0
    over: int = 8


def cycles(stretches: Sequence[Cycle], rng: np.random.Generator) -> FloatArray:
    """Return returns per day of a price that drifts in cycles, one stretch behind the other, with noise of 1 % a day.

    Who looks back over a quarter of a cycle or so times it well, who looks back over more than half of it is always too
    late; and where shocks are taken back, who looks back over few bars buys what falls again.
    """

    def spread(name: str) -> FloatArray:
        return np.concatenate([np.full(each.bars, float(getattr(each, name))) for each in stretches])

    count = sum(each.bars for each in stretches)
    # No two cycles are of one length.
    phase = 2 * np.pi * (rng.random() + np.cumsum(rng.uniform(0.7, 1.3, count) / spread("length")))
    shocks = rng.standard_t(5, count + 8) / np.sqrt(5 / 3)
    edges = np.cumsum([0, *(each.bars for each in stretches)])
    last = np.concatenate(
        [
            np.convolve(shocks[8 - each.over + first : 7 + stop], np.ones(each.over) / each.over, mode="valid")
            for each, first, stop in zip(stretches, edges, edges[1:], strict=False)
        ]
    )
    return 0.01 * (shocks[8:] + spread("strength") * np.sin(phase) - spread("reversal") * last)


def _slow(count: int, memory: float, rng: np.random.Generator) -> FloatArray:
    steps = rng.standard_normal(count) * np.sqrt(1 - memory * memory)
    for at in range(1, count):
        steps[at] += memory * steps[at - 1]
    return steps


def bars_of(returns: FloatArray, symbol: str, rng: np.random.Generator) -> Bars:
    """Return daily bars with these returns from close to close; each opens where the last closed, but for a small gap."""
    close = 100 * np.cumprod(1 + np.maximum(returns, -0.5))
    before = np.concatenate([[100.0], close[:-1]])
    open_ = before * (1 + rng.normal(0, 0.002, close.size))
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.003, close.size)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.003, close.size)))
    return Bars(
        symbol=symbol,
        source="generated",
        timeframe="1d",
        adjustment="none",
        version=1,
        series_id=None,
        time=np.arange(close.size, dtype=np.int64) * DAY_NS,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=rng.lognormal(12, 0.5, close.size),
    )


def market(bars: int, symbols: int, rng: np.random.Generator, *, drift: float = 0.0, trend: float = 0.0) -> list[Bars]:
    return [
        bars_of(walk(bars + WARM_UP, rng, drift=drift, trend=trend), f"S{number}", rng) for number in range(symbols)
    ]


def grids() -> list[StrategyType]:
    """Return the types that search over bars alone."""
    return [each for each in strategy_types.all() if not each.references]


def searched(strategy_type: StrategyType, market_bars: Sequence[Bars]) -> Assessment:
    """Return what the desk thinks of a search of the type's own grid over these bars, warmed by the first of them."""
    names, values = list(strategy_type.grid), list(strategy_type.grid.values())
    fixed = {each.name: each.default for each in strategy_type.parameters if each.name not in names}
    products = [{**fixed, **dict(zip(names, each, strict=True))} for each in product(*values)]
    combinations = [each for each in products if all(rule.holds(each) for rule in strategy_type.constraints)]
    series = [engine.prepare(each) for each in market_bars]
    axis = engine.make_axis(series, WARM_UP * DAY_NS)
    folds = engine.folds(axis, FOLDS, TRAIN_RATIO)
    windows = axis.windows([each.train for each in folds] + [each.test for each in folds])
    cuts = np.array(list(pairwise(block_bounds(len(axis), blocks_for(len(axis))).tolist())))
    figures = engine.evaluate(strategy_type, combinations, series, windows, COSTS)
    sums = engine.portfolio_sums(strategy_type, combinations, series, windows, axis, cuts, COSTS)
    shown = [{name: each[name] for name in names} for each in combinations]
    search = Search(
        axes=axes_of(shown),
        combinations=shown,
        in_sample=Sums(sums.count[:FOLDS], sums.total[:, :FOLDS], sums.squares[:, :FOLDS]),
        out_of_sample=Sums(sums.count[FOLDS:], sums.total[:, FOLDS:], sums.squares[:, FOLDS:]),
        blocks=Sums(sums.block_count, sums.block_total, sums.block_squares),
        trades=figures.trades[:, FOLDS:].sum(axis=(1, 2)),
        ruined_in=figures.ruined[:, :FOLDS].any(axis=2),
        ruined_out=figures.ruined[:, FOLDS:].any(axis=2),
    )

    def stitched(at: int) -> FloatArray:
        (found,) = engine.returns(strategy_type, [combinations[at]], series, windows[FOLDS:], axis, COSTS)
        return found.value

    held = np.mean([each.close[1:] / each.close[:-1] - 1 for each in market_bars], axis=0)[WARM_UP - 1 :]
    tested = np.concatenate([np.arange(*each.test) for each in folds])
    return assess(search, stitched, trials=len(combinations), holding=held[tested])
