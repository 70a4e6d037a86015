"""What a model sees of a bar: lagged returns, volatility, volume and indicators, all free of the price's level.

The features of bar t use bars up to and including t, nothing else. A figure in units of price (an average, a band, an
ATR) is put in relation to the close, since a model that learns "above 150" has learnt a date. A bar on which any
feature is not finite is no row: nothing is filled in.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from market.bars import Bars, FloatArray
from market.errors import IndicatorParamsInvalid, IndicatorUnknown
from market.indicators import INDICATORS, indicator_get
from optimize.learning.errors import ModelConfigInvalid
from optimize.learning.reading import Reader
from tradingsite.common.errors import FieldError
from workflows.strategies.rules import sound_bars

MOST_FEATURES = 200
LONGEST = 1000

# How an indicator's figure is freed of the price's level. What is not listed has no level (RSI, ADX, ROC, ...).
_DISTANCE = frozenset({"sma", "ema", "wma", "bbands", "donchian", "vwap"})  # value / price - 1
_SHARE = frozenset({"macd", "atr", "mom"})  # value / price
# Its figure counts from the first bar of the series, so it says where the data begins.
_REFUSED = frozenset({"obv"})


@dataclass(frozen=True)
class IndicatorFeature:
    """One output of one indicator, `lag` bars ago. `params` are complete and sorted by name."""

    indicator: str
    params: tuple[tuple[str, int | float | str], ...]
    output: str
    lag: int = 0

    @property
    def name(self) -> str:
        words = ",".join(f"{name}={value}" for name, value in self.params)
        output = "" if self.output == "value" else f".{self.output}"
        return f"{self.indicator}({words}){output}" + (f" lag {self.lag}" if self.lag else "")


@dataclass(frozen=True)
class FeatureConfig:
    """Which features, in bars: `returns` and `volatility` of the close, `volume` against its mean, and indicators."""

    returns: tuple[int, ...] = (1, 2, 3, 5, 10, 21)
    volatility: tuple[int, ...] = (10, 21)
    volume: tuple[int, ...] = ()
    indicators: tuple[IndicatorFeature, ...] = field(default_factory=lambda: _default_indicators())

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in the order of the matrix' columns."""
        return (
            *(f"return {n}" for n in self.returns),
            *(f"volatility {n}" for n in self.volatility),
            *(f"volume {n}" for n in self.volume),
            *(feature.name for feature in self.indicators),
        )

    @property
    def warmup(self) -> int:
        """Bars that must be there before the first one that has all features."""
        needed = [0, *self.returns, *self.volatility, *(n - 1 for n in self.volume)]
        needed += [INDICATORS[item.indicator].warmup(dict(item.params)) + item.lag for item in self.indicators]
        return max(needed)

    def as_json(self) -> dict[str, Any]:
        """Return what `feature_config` would read as this."""
        return {
            "returns": list(self.returns),
            "volatility": list(self.volatility),
            "volume": list(self.volume),
            "indicators": [
                {"indicator": item.indicator, "params": dict(item.params), "output": item.output, "lag": item.lag}
                for item in self.indicators
            ],
        }


def _default_indicators() -> tuple[IndicatorFeature, ...]:
    wanted: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("rsi", {"period": 14}, "value"),
        ("macd", {}, "histogram"),
        ("natr", {"period": 14}, "value"),
        ("adx", {"period": 14}, "value"),
        ("sma", {"period": 50}, "value"),
        ("bbands", {"period": 20}, "upper"),
        ("bbands", {"period": 20}, "lower"),
    )
    return tuple(
        IndicatorFeature(slug, tuple(sorted(INDICATORS[slug].validate(params).items())), output)
        for slug, params, output in wanted
    )


def feature_config(value: object, pointer: str = "feature_config") -> FeatureConfig:
    """Return the configuration that a JSON object means; what it leaves out is the default.

    Raises:
        ModelConfigInvalid: naming each unknown or wrong member.
    """
    default = FeatureConfig()
    reader = Reader(value, pointer, ("returns", "volatility", "volume", "indicators"))
    returns = reader.whole_numbers("returns", default.returns, 1, LONGEST)
    volatility = reader.whole_numbers("volatility", default.volatility, 2, LONGEST)
    volume = reader.whole_numbers("volume", default.volume, 2, LONGEST)
    indicators = default.indicators
    if "indicators" in reader.values:
        indicators = _indicators(reader, reader.values["indicators"])
    reader.finish()
    config = FeatureConfig(returns, volatility, volume, indicators)
    if not 1 <= len(config.names) <= MOST_FEATURES:
        detail = f"Must name 1 to {MOST_FEATURES} features; it names {len(config.names)}."
        raise ModelConfigInvalid(errors=[FieldError(pointer, "out_of_range", detail)])
    return config


def _indicators(outer: Reader, value: object) -> tuple[IndicatorFeature, ...]:
    if not isinstance(value, list | tuple):
        outer.wrong("indicators", "invalid", 'Must be a list of objects such as {"indicator": "rsi"}.')
        return ()
    found: list[IndicatorFeature] = []
    for place, item in enumerate(value):
        pointer = f"{outer.pointer}/indicators/{place}"
        reader = Reader(item, pointer, ("indicator", "params", "output", "lag"))
        lag = reader.whole("lag", 0, 0, LONGEST)
        slug = reader.values.get("indicator")
        if not isinstance(slug, str) or slug in _REFUSED:
            why = "counts from the first bar of the series and says nothing of a bar" if slug in _REFUSED else ""
            names = ", ".join(sorted(set(INDICATORS) - _REFUSED))
            reader.wrong("indicator", "invalid_choice", f"{slug} {why}. Choose from {names}." if why else names)
            outer.errors += reader.errors
            continue
        try:
            indicator = indicator_get(slug, f"{pointer}/indicator")
            params = reader.values.get("params", {})
            if not isinstance(params, dict):
                reader.wrong("params", "invalid", "Must be an object.")
                params = {}
            cleaned = indicator.validate(params, f"{pointer}/params")
        except (IndicatorUnknown, IndicatorParamsInvalid) as error:
            outer.errors += [*reader.errors, *error.errors]
            continue
        output = reader.choice("output", indicator.outputs[0], indicator.outputs)
        feature = IndicatorFeature(slug, tuple(sorted(cleaned.items())), output, lag)
        if feature in found:
            reader.errors.append(FieldError(pointer, "duplicate", f"{feature.name} is in the list already."))
        outer.errors += reader.errors
        found.append(feature)
    return tuple(found)


def features(bars: Bars, config: FeatureConfig) -> FloatArray:
    """Return the features of every bar: float64 [len(bars), len(config.names)], NaN where one is not known.

    Row t is a function of bars 0..t. A row is to be used only where all of it is finite.
    """
    columns: list[FloatArray] = []
    with np.errstate(divide="ignore", invalid="ignore"):
        log_close = np.log(bars.close)
        change = np.full(len(bars), np.nan)
        change[1:] = np.diff(log_close)
        columns += [_since(log_close, n) for n in config.returns]
        columns += [rolling_deviation(change, n) for n in config.volatility]
        columns += [bars.volume / rolling_mean(bars.volume, n) - 1.0 for n in config.volume]
        known: dict[tuple[object, ...], dict[str, FloatArray]] = {}
        for item in config.indicators:
            key = (item.indicator, item.params)
            if key not in known:
                known[key] = INDICATORS[item.indicator].compute(bars, dict(item.params))
            columns.append(_lagged(_relative(bars, item, known[key][item.output]), item.lag))
    matrix = np.column_stack(columns) if len(bars) else np.empty((0, len(columns)))
    # The libraries compute in float32; a figure beyond it would become infinite there.
    matrix[~(np.abs(matrix) <= float(np.finfo(np.float32).max))] = np.nan
    return matrix


def usable(bars: Bars, matrix: FloatArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which bars have every feature and all four prices."""
    known: np.ndarray[Any, np.dtype[np.bool_]] = np.isfinite(matrix).all(axis=1) & sound_bars(bars)
    return known


def _relative(bars: Bars, item: IndicatorFeature, values: FloatArray) -> FloatArray:
    base = bars.volume if dict(item.params).get("on") == "volume" else bars.close
    if item.indicator in _DISTANCE:
        return values / base - 1.0
    return values / base if item.indicator in _SHARE else values


def _lagged(values: FloatArray, lag: int) -> FloatArray:
    if lag == 0:
        return values
    result = np.full_like(values, np.nan)
    result[lag:] = values[:-lag]
    return result


def _since(values: FloatArray, count: int) -> FloatArray:
    result = np.full_like(values, np.nan)
    result[count:] = values[count:] - values[:-count]
    return result


def _rolling(values: FloatArray, count: int, total: Callable[[FloatArray], FloatArray]) -> FloatArray:
    result = np.full(len(values), np.nan)
    if len(values) >= count:
        result[count - 1 :] = total(values)
    return result


def rolling_mean(values: FloatArray, count: int) -> FloatArray:
    """Return the mean of the last `count` values, NaN where there are fewer or one of them is NaN."""
    return _rolling(values, count, lambda v: _window_sum(v, count) / count)


def rolling_deviation(values: FloatArray, count: int) -> FloatArray:
    """Return the sample standard deviation (ddof 1) of the last `count` values, NaN like `rolling_mean`."""

    def deviation(v: FloatArray) -> FloatArray:
        size = len(v) - count + 1
        mean = _window_sum(v, count) / count
        squares = np.zeros(size)
        for k in range(count):
            squares += (v[k : k + size] - mean) ** 2
        return np.sqrt(squares / (count - 1))

    return _rolling(values, count, deviation)


def _window_sum(values: FloatArray, count: int) -> FloatArray:
    # Each window is added up afresh and in one order: a running sum would carry the rounding of old bars along, and a
    # row would no longer be the same on a shorter history.
    size = len(values) - count + 1
    total = np.zeros(size)
    for k in range(count):
        total += values[k : k + size]
    return total
