"""What a model is to foretell: whether a position taken after a bar ends well.

The position is the one that a signal of bar t can have: filled at the open of bar t+1. Its label comes with the bar on
which it was decided, which is what purging needs.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.bars import Bars, FloatArray
from market.indicators import compute
from optimize.learning.features import rolling_deviation
from optimize.learning.reading import Reader

IntArray = NDArray[np.int64]
KINDS = ("horizon", "triple_barrier")
SCALES = ("atr", "volatility")
UNKNOWN = -1


@dataclass(frozen=True)
class LabelConfig:
    """How a bar is labelled.

    Attributes:
        kind: `horizon`: up when the return from the open of t+1 to the open of t+1+horizon exceeds `threshold`.
            `triple_barrier`: up when the upper barrier is touched before the lower one within `horizon` bars; when
            neither is, the return to the close of the last of them decides, against `threshold`.
        horizon: bars, at most.
        threshold: fraction of price, such as the costs of a round trip.
        upper, lower: distances of the barriers from the fill, in units of `scale`.
        scale: `atr`: the average true range at bar t; `volatility`: the fill times the deviation of log returns up to t.
        period: bars that the scale is measured over.
    """

    kind: str = "horizon"
    horizon: int = 5
    threshold: float = 0.0
    upper: float = 2.0
    lower: float = 2.0
    scale: str = "atr"
    period: int = 20

    def as_json(self) -> dict[str, Any]:
        """Return what `label_config` would read as this."""
        return asdict(self)


@dataclass(frozen=True)
class Labels:
    """Labels of one symbol's bars; arrays as long as the bars.

    Attributes:
        up: int8: 1 up, 0 not, UNKNOWN where bars are missing to say.
        end: index of the last bar whose prices decided the label, UNKNOWN likewise.
        move: return of the position before costs, NaN likewise.
    """

    up: NDArray[np.int8]
    end: IntArray
    move: FloatArray


def label_config(value: object, pointer: str = "label_config") -> LabelConfig:
    """Return the configuration that a JSON object means; what it leaves out is the default.

    Raises:
        ModelConfigInvalid: naming each unknown or wrong member.
    """
    default = LabelConfig()
    reader = Reader(value, pointer, tuple(asdict(default)))
    config = LabelConfig(
        kind=reader.choice("kind", default.kind, KINDS),
        horizon=reader.whole("horizon", default.horizon, 1, 1000),
        threshold=reader.number("threshold", default.threshold, -0.5, 0.5),
        upper=reader.number("upper", default.upper, 0.05, 100.0),
        lower=reader.number("lower", default.lower, 0.05, 100.0),
        scale=reader.choice("scale", default.scale, SCALES),
        period=reader.whole("period", default.period, 2, 1000),
    )
    if config.kind == "horizon":
        for name in ("upper", "lower", "scale", "period"):
            if name in reader.values and reader.values[name] != getattr(default, name):
                reader.wrong(name, "contradiction", "Belongs to kind triple_barrier; leave it out.")
    reader.finish()
    return config


def labels(bars: Bars, config: LabelConfig) -> Labels:
    """Label every bar.

    A bar within `horizon` bars of the end is not labelled, also where a barrier was touched in time: to keep only the
    quick ones among the last would tilt the sample.
    """
    count = len(bars)
    result = Labels(
        np.full(count, UNKNOWN, dtype=np.int8), np.full(count, UNKNOWN, dtype=np.int64), np.full(count, np.nan)
    )
    if config.kind == "horizon":
        _by_horizon(bars, config, result)
    else:
        _by_barriers(bars, config, result)
    return result


def _by_horizon(bars: Bars, config: LabelConfig, result: Labels) -> None:
    size = len(bars) - config.horizon - 1
    if size <= 0:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        move = bars.open[config.horizon + 1 :] / bars.open[1 : size + 1] - 1.0
    known = np.isfinite(move)
    result.up[:size] = np.where(known, move > config.threshold, UNKNOWN)
    result.end[:size] = np.where(known, np.arange(size) + config.horizon + 1, UNKNOWN)
    result.move[:size] = np.where(known, move, np.nan)


def _by_barriers(bars: Bars, config: LabelConfig, result: Labels) -> None:
    horizon = config.horizon
    size = len(bars) - horizon
    if size <= 0:
        return
    fill = bars.open[1 : size + 1]
    distance = _distance(bars, config)[:size]
    if config.scale == "volatility":
        distance = distance * fill
    upper, lower = fill + config.upper * distance, fill - config.lower * distance
    end = np.full(size, UNKNOWN, dtype=np.int64)
    up = np.full(size, UNKNOWN, dtype=np.int8)
    out = np.full(size, np.nan)
    open_ = np.isfinite(upper) & np.isfinite(lower) & (distance > 0)
    reached = open_.copy()
    for k in range(1, horizon + 1):
        high, low, opened = (array[k : k + size] for array in (bars.high, bars.low, bars.open))
        # Both in one bar: which came first is not known, so it is taken to have gone wrong, as a stop is.
        fell = open_ & (low <= lower)
        rose = open_ & ~fell & (high >= upper)
        # A bar that opens beyond a barrier is left at its open, not at a price that nobody could have had.
        out = np.where(fell, np.minimum(opened, lower), np.where(rose, np.maximum(opened, upper), out))
        up[fell], up[rose] = 0, 1
        touched = fell | rose
        end[touched] = np.flatnonzero(touched) + k
        open_ &= ~touched
    last = bars.close[horizon : horizon + size]
    timed = open_ & np.isfinite(last)
    out = np.where(timed, last, out)
    end[timed] = np.flatnonzero(timed) + horizon
    with np.errstate(divide="ignore", invalid="ignore"):
        move = out / fill - 1.0
    up[timed] = (move > config.threshold)[timed]
    known = reached & (end >= 0) & np.isfinite(move)
    result.up[:size] = np.where(known, up, UNKNOWN)
    result.end[:size] = np.where(known, end, UNKNOWN)
    result.move[:size] = np.where(known, move, np.nan)


def _distance(bars: Bars, config: LabelConfig) -> FloatArray:
    if config.scale == "atr":
        return compute("atr", bars, {"period": config.period})["value"]
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.full(len(bars), np.nan)
        change[1:] = np.diff(np.log(bars.close))
    return rolling_deviation(change, config.period)
