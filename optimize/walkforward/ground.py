"""What all combinations of a search stand on: the bars, the folds cut on their common clock, and how is traded."""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimize import data, engine
from optimize.honesty import block_bounds, blocks_for
from optimize.walkforward.asking import moment
from optimize.work import Asked, Pinned
from workflows.strategies import StrategyType, strategy_types

IntArray = NDArray[np.int64]
# Figures of indicators stay with their series; of more bars than this they would fill the memory between two chunks.
KEPT_BARS = 20_000


@dataclass(frozen=True, eq=False)
class Ground:
    """A search's data, made ready.

    Attributes:
        folds: stretches of the axis.
        windows: int64[2 * folds, symbols, 2], the trainings and then the tests.
        blocks: stretches of the axis for CSCV, int64[blocks, 2]; none where the axis is too short.
        groups: likewise for combinatorial cross-validation; none where nobody asked for it.
    """

    strategy_type: StrategyType
    series: tuple[Any, ...]
    axis: engine.Axis
    folds: tuple[engine.Fold, ...]
    windows: IntArray
    blocks: IntArray
    groups: IntArray
    settings: engine.Settings

    @property
    def tests(self) -> IntArray:
        """The windows of the tests."""
        return self.windows[len(self.folds) :]


def ground_of(asked: Asked, check: Callable[[], None] = lambda: None) -> Ground:
    """Return the ground of a job; that of a small one is kept for the next chunk."""
    request = json.dumps({name: asked.request[name] for name in _READ}, sort_keys=True)
    pinned = json.dumps([asdict(one) for one in asked.data])
    bars, ground = _kept(request, pinned)
    if ground is not None:
        return ground
    check()
    return _made(json.loads(request), bars)


_READ = (
    "strategy_type", "start", "end", "n_splits", "train_ratio", "anchored", "embargo", "costs", "initial_cash",
    "direction", "cpcv", "stop_loss", "take_profit", "periods_per_year", "warm_up",
)  # fmt: skip


@functools.lru_cache(maxsize=4)
def _kept(request: str, pinned: str) -> tuple[list[Any], Ground | None]:
    asked = json.loads(request)
    bars = data.load(
        [Pinned(**one) for one in json.loads(pinned)],
        start=moment(asked["start"]),
        end=moment(asked["end"]),
        warm_up=asked["warm_up"],
    )
    small = sum(len(one) for one in bars) <= KEPT_BARS
    return bars, _made(asked, bars) if small else None


def _made(asked: Mapping[str, Any], bars: list[Any]) -> Ground:
    series = tuple(engine.prepare(one) for one in bars)
    axis = engine.make_axis(series, data.to_ns(moment(asked["start"])), data.to_ns(moment(asked["end"])))
    folds = tuple(engine.folds(axis, asked["n_splits"], asked["train_ratio"], asked["anchored"], asked["embargo"]))
    windows = axis.windows([fold.train for fold in folds] + [fold.test for fold in folds])
    blocks = blocks_for(len(axis))
    groups = asked["cpcv"]["groups"] if asked["cpcv"] else 0
    return Ground(
        strategy_type=strategy_types.get(asked["strategy_type"]),
        series=series,
        axis=axis,
        folds=folds,
        windows=windows,
        blocks=_stretches(len(axis), blocks),
        groups=_stretches(len(axis), groups),
        settings=settings_of(asked),
    )


def _stretches(length: int, count: int) -> IntArray:
    bounds = block_bounds(length, count) if count else np.zeros(1, dtype=np.int64)
    return np.stack((bounds[:-1], bounds[1:]), axis=1)


def settings_of(request: Mapping[str, Any]) -> engine.Settings:
    """Return how a cleaned request is traded."""
    return engine.Settings(
        initial_cash=request["initial_cash"],
        fee=request["costs"]["fee"],
        slippage=request["costs"]["slippage"],
        direction=request["direction"],
        stop_loss=request["stop_loss"],
        take_profit=request["take_profit"],
        periods_per_year=request["periods_per_year"],
    )
