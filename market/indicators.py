"""Technical indicators on TA-Lib, behind one registry.

Figures equal TA-Lib's, its warm-up NaNs included (formulas: https://ta-lib.org/functions). Where a bar has a NaN in an
input, the indicator is NaN there and warms up anew behind it: nothing is carried across a gap. No Django here.
"""

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import talib

from market.bars import Bars, FloatArray
from market.errors import IndicatorParamsInvalid, IndicatorUnknown
from tradingsite.common.errors import FieldError

Outputs = dict[str, FloatArray]
Values = Mapping[str, Any]


class Price(enum.StrEnum):
    """The series that a one-price indicator is computed on."""

    OPEN = "open"
    HIGH = "high"
    LOW = "low"
    CLOSE = "close"
    VOLUME = "volume"
    HL2 = "hl2"
    HLC3 = "hlc3"
    OHLC4 = "ohlc4"


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True)
class Param:
    """One parameter: `kind` is `int`, `float` or `choice`; the bounds are included."""

    name: str
    kind: str
    default: int | float | str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of this parameter."""
        if self.kind == "choice":
            return {"type": "string", "enum": list(self.choices), "default": self.default, "description": self.help}
        return {
            "type": "integer" if self.kind == "int" else "number",
            "minimum": self.minimum,
            "maximum": self.maximum,
            "default": self.default,
            "description": self.help,
        }

    def read(self, value: object, pointer: str) -> tuple[Any, FieldError | None]:
        """Return the value to compute with, and what is wrong with it, if anything."""
        if self.kind == "choice":
            if isinstance(value, str) and value in self.choices:
                return value, None
            return None, FieldError(pointer, "invalid_choice", f"Must be one of {', '.join(self.choices)}.")
        # Whole floats pass for integers: JSON and optimisers make no difference between 14 and 14.0.
        number = _finite(value)
        if number is None or (self.kind == "int" and not number.is_integer()):
            return None, FieldError(
                pointer, "invalid", f"Must be {'a whole' if self.kind == 'int' else 'a finite'} number."
            )
        parsed = int(number) if self.kind == "int" else number
        if (self.minimum is not None and parsed < self.minimum) or (self.maximum is not None and parsed > self.maximum):
            return None, FieldError(pointer, "out_of_range", f"Must be from {self.minimum:g} to {self.maximum:g}.")
        return parsed, None


@dataclass(frozen=True)
class Indicator:
    """One indicator.

    Attributes:
        outputs: names of the arrays that it returns; the first is its main one.
        inputs: the bars' columns that it reads; empty when the parameter `on` says it.
        warmup: number of leading bars without a value, from the validated parameters.
        kernel: (input arrays, parameters) -> one array per output; inputs are finite and not empty.
        rule: says what is wrong with parameters that are each in range, as (name, detail), or None.
    """

    slug: str
    title: str
    params: tuple[Param, ...]
    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    warmup: Callable[[Values], int]
    kernel: Callable[[list[FloatArray], Values], tuple[FloatArray, ...]]
    rule: Callable[[Values], tuple[str, str] | None] = lambda _: None

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the parameters."""
        properties = {param.name: param.schema() for param in self.params}
        return {"type": "object", "properties": properties, "additionalProperties": False}

    def validate(self, params: Values, pointer: str = "params") -> dict[str, Any]:
        """Return complete parameters: the given ones checked, defaults for the rest.

        Raises:
            IndicatorParamsInvalid: naming each wrong one as `<pointer>/<name>`.
        """
        errors: list[FieldError] = []
        known = {param.name for param in self.params}
        for name in sorted(set(params) - known):
            names = ", ".join(param.name for param in self.params) or "none"
            errors.append(
                FieldError(f"{pointer}/{name}", "unknown", f"{self.slug} has no such parameter; it has: {names}.")
            )
        values: dict[str, Any] = {}
        for param in self.params:
            value, error = param.read(params.get(param.name, param.default), f"{pointer}/{param.name}")
            if error is not None:
                errors.append(error)
            values[param.name] = value
        if not errors and (broken := self.rule(values)) is not None:
            errors.append(FieldError(f"{pointer}/{broken[0]}", "invalid", broken[1]))
        if errors:
            raise IndicatorParamsInvalid(errors=errors)
        return values

    def compute(self, bars: Bars, params: Values) -> Outputs:
        """Return one float64 array per output, as long as the bars, NaN while warming up.

        Raises:
            IndicatorParamsInvalid: for parameters that are not this indicator's.
        """
        return self.figures(bars, self.validate(params))

    def figures(self, bars: Bars, values: Values) -> Outputs:
        """Return what `compute` does for parameters that `validate` returned."""
        names = self.inputs or (values["on"],)
        if bars.whole.issuperset(names):  # the usual history has no holes, and a search asks for hundreds of figures
            arrays = self.kernel([getattr(bars, name) for name in names], values)
            return dict(zip(self.outputs, arrays, strict=True))
        inputs = [_price(bars, name) for name in names]
        finite = np.logical_and.reduce([np.isfinite(array) for array in inputs])
        result = {name: np.full(len(bars), np.nan) for name in self.outputs}
        for start, stop in _runs(finite):
            arrays = self.kernel([np.ascontiguousarray(array[start:stop]) for array in inputs], values)
            for name, array in zip(self.outputs, arrays, strict=True):
                result[name][start:stop] = array
        return result


def _runs(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """Return (start, stop) of each unbroken run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.view(np.int8), [0]))))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _price(bars: Bars, name: str) -> FloatArray:
    if name == Price.HL2:
        return (bars.high + bars.low) / 2.0
    if name == Price.HLC3:
        return (bars.high + bars.low + bars.close) / 3.0
    if name == Price.OHLC4:
        return (bars.open + bars.high + bars.low + bars.close) / 4.0
    column: FloatArray = getattr(bars, name)
    return column


LONGEST = 1000
_ON = Param("on", "choice", "close", choices=tuple(Price), help="The price that it is computed on.")


def _period(default: int, minimum: int = 2, name: str = "period", text: str = "Length in bars.") -> Param:
    return Param(name, "int", default, minimum, LONGEST, help=text)


def _one_price(
    slug: str,
    title: str,
    function: Callable[..., FloatArray],
    *,
    default: int,
    minimum: int = 2,
    warmup: Callable[[int], int] = lambda period: period - 1,
) -> Indicator:
    return Indicator(
        slug=slug,
        title=title,
        params=(_period(default, minimum), _ON),
        outputs=("value",),
        inputs=(),
        warmup=lambda p: warmup(p["period"]),
        kernel=lambda a, p: (function(a[0], timeperiod=p["period"]),),
    )


def _high_low_close(
    slug: str,
    title: str,
    function: Callable[..., FloatArray],
    *,
    default: int,
    minimum: int = 2,
    warmup: Callable[[int], int] = lambda period: period,
) -> Indicator:
    return Indicator(
        slug=slug,
        title=title,
        params=(_period(default, minimum),),
        outputs=("value",),
        inputs=("high", "low", "close"),
        warmup=lambda p: warmup(p["period"]),
        kernel=lambda a, p: (function(*a, timeperiod=p["period"]),),
    )


def _macd(arrays: list[FloatArray], p: Values) -> tuple[FloatArray, ...]:
    line, signal, histogram = talib.MACD(
        arrays[0], fastperiod=p["fast"], slowperiod=p["slow"], signalperiod=p["signal"]
    )
    return line, signal, histogram


def _bbands(arrays: list[FloatArray], p: Values) -> tuple[FloatArray, ...]:
    upper, middle, lower = talib.BBANDS(arrays[0], timeperiod=p["period"], nbdevup=p["width"], nbdevdn=p["width"])
    return upper, middle, lower


def _stoch(arrays: list[FloatArray], p: Values) -> tuple[FloatArray, ...]:
    high, low, close = arrays
    k, d = talib.STOCH(high, low, close, fastk_period=p["k"], slowk_period=p["smooth"], slowd_period=p["d"])
    return k, d


def _donchian(arrays: list[FloatArray], p: Values) -> tuple[FloatArray, ...]:
    """The channel of the last `period` bars, the present one included (Donchian's rule, as TA-Lib's MAX and MIN count)."""
    upper = talib.MAX(arrays[0], timeperiod=p["period"])
    lower = talib.MIN(arrays[1], timeperiod=p["period"])
    return upper, (upper + lower) / 2.0, lower


def _vwap(arrays: list[FloatArray], p: Values) -> tuple[FloatArray, ...]:
    """Rolling: sum of typical price times volume over sum of volume; NaN where nothing traded."""
    high, low, close, volume = arrays
    period = p["period"]
    if len(close) < period:
        return (np.full(len(close), np.nan),)
    windows = np.lib.stride_tricks.sliding_window_view
    typical = (high + low + close) / 3.0
    # Each window is summed afresh: a running sum would let rounding of old, large volumes into a quiet window.
    amount = windows(typical * volume, period).sum(axis=1)
    units = windows(volume, period).sum(axis=1)
    value = np.full(len(close), np.nan)
    np.divide(amount, units, out=value[period - 1 :], where=units > 0)
    return (value,)


def _fast_below_slow(p: Values) -> tuple[str, str] | None:
    return None if p["fast"] < p["slow"] else ("fast", "Must be shorter than slow.")


_ALL = (
    _one_price("sma", "Simple moving average", talib.SMA, default=20),
    _one_price("ema", "Exponential moving average", talib.EMA, default=20),
    _one_price("wma", "Weighted moving average", talib.WMA, default=20),
    _one_price("rsi", "Relative strength index", talib.RSI, default=14, warmup=lambda n: n),
    _one_price("roc", "Rate of change, percent", talib.ROC, default=10, minimum=1, warmup=lambda n: n),
    _one_price("mom", "Momentum", talib.MOM, default=10, minimum=1, warmup=lambda n: n),
    _high_low_close("atr", "Average true range", talib.ATR, default=14),
    _high_low_close("natr", "Average true range, percent of close", talib.NATR, default=14),
    _high_low_close("adx", "Average directional index", talib.ADX, default=14, warmup=lambda n: 2 * n - 1),
    _high_low_close("cci", "Commodity channel index", talib.CCI, default=20, warmup=lambda n: n - 1),
    _high_low_close("willr", "Williams %R", talib.WILLR, default=14, warmup=lambda n: n - 1),
    Indicator(
        slug="macd",
        title="Moving average convergence/divergence",
        params=(
            _period(12, name="fast", text="Length of the fast average in bars."),
            _period(26, name="slow", text="Length of the slow average in bars."),
            _period(9, 1, name="signal", text="Length of the signal's average in bars."),
            _ON,
        ),
        outputs=("macd", "signal", "histogram"),
        inputs=(),
        warmup=lambda p: int(p["slow"] + p["signal"] - 2),
        kernel=_macd,
        rule=_fast_below_slow,
    ),
    Indicator(
        slug="bbands",
        title="Bollinger bands",
        params=(
            _period(20),
            Param("width", "float", 2.0, 0.1, 10.0, help="Distance of the bands in standard deviations (population)."),
            _ON,
        ),
        outputs=("upper", "middle", "lower"),
        inputs=(),
        warmup=lambda p: int(p["period"] - 1),
        kernel=_bbands,
    ),
    Indicator(
        slug="stoch",
        title="Stochastic oscillator",
        params=(
            _period(14, 1, name="k", text="Bars looked back for the range."),
            _period(3, 1, name="smooth", text="Smoothing of %K in bars."),
            _period(3, 1, name="d", text="Length of %D in bars."),
        ),
        outputs=("k", "d"),
        inputs=("high", "low", "close"),
        warmup=lambda p: int(p["k"] + p["smooth"] + p["d"] - 3),
        kernel=_stoch,
    ),
    Indicator(
        slug="donchian",
        title="Donchian channel",
        params=(_period(20),),
        outputs=("upper", "middle", "lower"),
        inputs=("high", "low"),
        warmup=lambda p: int(p["period"] - 1),
        kernel=_donchian,
    ),
    Indicator(
        slug="obv",
        title="On-balance volume",
        params=(),
        outputs=("value",),
        inputs=("close", "volume"),
        warmup=lambda _: 0,
        kernel=lambda a, _: (talib.OBV(a[0], a[1]),),
    ),
    Indicator(
        slug="vwap",
        title="Volume-weighted average price, rolling",
        params=(_period(20, 1),),
        outputs=("value",),
        inputs=("high", "low", "close", "volume"),
        warmup=lambda p: int(p["period"] - 1),
        kernel=_vwap,
    ),
)

INDICATORS: Mapping[str, Indicator] = {indicator.slug: indicator for indicator in sorted(_ALL, key=lambda i: i.slug)}


def indicator_get(name: str, pointer: str = "indicator") -> Indicator:
    """Return the indicator called `name`.

    Raises:
        IndicatorUnknown: naming `pointer`.
    """
    try:
        return INDICATORS[name]
    except KeyError:
        detail = f"{name!r} is no indicator; there are {', '.join(INDICATORS)}."
        raise IndicatorUnknown(errors=[FieldError(pointer, "invalid_choice", detail)]) from None


def compute(name: str, bars: Bars, params: Values) -> Outputs:
    """Compute the indicator `name` over `bars`.

    Returns:
        float64 arrays by output name, as long as `bars`; NaN while warming up and where an input is NaN.

    Raises:
        IndicatorUnknown, IndicatorParamsInvalid: for a name or parameters that do not exist.
    """
    return indicator_get(name).compute(bars, params)
