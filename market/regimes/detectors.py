"""The detectors: each reads one measure of the bars and makes regimes of it."""

import abc
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np

from market.bars import Bars, FloatArray
from market.regimes import hmm, measures
from market.regimes.hysteresis import Band, banded, confirmed
from market.regimes.words import UNKNOWN, Regimes, StateArray, Told
from tradingsite.common.errors import FieldError, ValidationFailed


@dataclass(frozen=True)
class Detector(abc.ABC):
    """How regimes are told apart.

    Attributes:
        confirm: so many bars in a row must show a new state before it is a regime.
        dwell: so many bars a regime lasts at least.
    """

    kind: ClassVar[str]
    labels: ClassVar[tuple[str, ...]]
    # Name: least, most. What is no number is checked by `_choices`.
    _bounds: ClassVar[Mapping[str, tuple[float, float]]]
    _choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    confirm: int = 3
    dwell: int = 10

    @property
    @abc.abstractmethod
    def warm_up(self) -> int:
        """Bars before the first regime can be told."""

    @abc.abstractmethod
    def read(self, bars: Bars) -> tuple[FloatArray, StateArray]:
        """Return the measure and the raw state of each bar."""

    @property
    def words(self) -> tuple[str, ...]:
        """The names of the states, the lowest first."""
        return self.labels

    def as_dict(self) -> dict[str, Any]:
        """Return what `detector_clean` makes the same detector of."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class Volatility(Detector):
    """How much prices move, against what was usual for them.

    The measure is volatility over its median of the newest `reference` bars: above `high` turbulent, below `low` calm.
    Both are left `band` (a fraction) nearer to one.
    """

    kind: ClassVar[str] = "volatility"
    labels: ClassVar[tuple[str, ...]] = ("calm", "normal", "turbulent")
    _bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "confirm": (1, 100), "dwell": (0, 1000), "window": (5, 1000), "reference": (20, 5000), "decay": (0.5, 0.999),
        "low": (0.05, 1.0), "high": (1.0, 20.0), "band": (0.0, 0.5),
    }  # fmt: skip
    _choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"measure": ("realised", "ewma")}

    measure: str = "realised"
    window: int = 21
    decay: float = 0.94
    reference: int = 252
    low: float = 0.6
    high: float = 1.6
    band: float = 0.1

    @property
    def warm_up(self) -> int:
        return self.window + self.reference // 2 + self.confirm

    def read(self, bars: Bars) -> tuple[FloatArray, StateArray]:
        if self.measure == "ewma":
            volatility = measures.ewma_volatility(bars.close, decay=self.decay, warm_up=self.window)
        else:
            volatility = measures.realised_volatility(bars.close, window=self.window)
        usual = measures.trailing_median(volatility, window=self.reference, least=self.reference // 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(usual > 0, volatility / usual, np.nan)
        leave_high, leave_low = max(self.high * (1 - self.band), 1.0), min(self.low * (1 + self.band), 1.0)
        return ratio, banded(ratio, Band(self.low, leave_low, leave_high, self.high))


@dataclass(frozen=True)
class Trend(Detector):
    """Whether prices have a direction: up, down, or neither.

    The measure is the slope of log prices over `window` bars in standard deviations of a random walk's slope. It counts
    only while the ADX shows a directed market: from `enter` on, until it falls below `leave`.
    """

    kind: ClassVar[str] = "trend"
    labels: ClassVar[tuple[str, ...]] = ("down", "sideways", "up")
    _bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "confirm": (1, 100), "dwell": (0, 1000), "window": (10, 1000), "adx_period": (2, 200), "enter": (1, 100),
        "leave": (0, 100), "slope_enter": (0.1, 20), "slope_leave": (0, 20),
    }  # fmt: skip

    window: int = 50
    adx_period: int = 14
    enter: float = 25.0
    leave: float = 20.0
    slope_enter: float = 2.0
    slope_leave: float = 0.5

    @property
    def warm_up(self) -> int:
        return max(self.window, 2 * self.adx_period) + self.confirm

    def read(self, bars: Bars) -> tuple[FloatArray, StateArray]:
        slope = measures.slope_score(bars.close, window=self.window)
        strength = measures.trend_strength(bars, period=self.adx_period)
        directed = banded(strength, Band(-1.0, -1.0, self.leave, self.enter))
        state = banded(slope, Band(-self.slope_enter, -self.slope_leave, self.slope_leave, self.slope_enter))
        state = np.where(directed == 1, np.int8(1), state).astype(np.int8)
        state[directed == UNKNOWN] = UNKNOWN
        return slope, state


@dataclass(frozen=True)
class Hidden(Detector):
    """What a hidden Markov model takes for the state behind the returns: two or three, from calm to turbulent.

    The model is learnt anew at the first bar of each month (UTC) from the `train` bars before it, and read forward only.
    The measure is how likely it holds the most turbulent state. A state counts while it is at least `probability` likely.
    """

    kind: ClassVar[str] = "hmm"
    labels: ClassVar[tuple[str, ...]] = ("calm", "normal", "turbulent")
    _bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "confirm": (1, 100), "dwell": (0, 1000), "states": (2, 3), "train": (60, 5000), "probability": (0.5, 0.99),
    }  # fmt: skip

    states: int = 2
    train: int = 504
    probability: float = 0.8

    @property
    def words(self) -> tuple[str, ...]:
        return ("calm", "turbulent") if self.states == 2 else self.labels

    @property
    def warm_up(self) -> int:
        return self.train + 31 + self.confirm

    def read(self, bars: Bars) -> tuple[FloatArray, StateArray]:
        count = len(bars)
        value, state = np.full(count, np.nan), np.full(count, UNKNOWN, dtype=np.int8)
        returns = measures.log_returns(bars.close)
        months = bars.time.astype("datetime64[ns]").astype("datetime64[M]")
        begins = np.flatnonzero(months[1:] != months[:-1]) + 1
        # The first return is missing, so a model is learnt from as many returns after it.
        begins = begins[begins > self.train]
        begins = np.array([b for b in begins if self._enough(returns[b - self.train : b])], dtype=np.int64)
        if not len(begins):
            return value, state
        ends = np.append(begins[1:], count)
        model = hmm.fit(np.stack([returns[b - self.train : b] for b in begins]), self.states)
        longest = int((ends - begins).max())
        # Each month is read behind the bars that its model was learnt from, which bring it to its first state.
        windows = np.full((len(begins), self.train + longest), np.nan)
        for row, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            windows[row, : self.train + end - begin] = returns[begin - self.train : end]
        likely = hmm.filtered(windows, model)
        now = UNKNOWN
        for row, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            part = likely[row, self.train : self.train + end - begin]
            value[begin:end] = part[:, -1]
            for index, each in enumerate(part):
                best = int(each.argmax())
                # Between the two heights the state stays what it was.
                if each[best] >= self.probability or now == UNKNOWN:
                    now = best
                state[begin + index] = now
        return value, state

    def _enough(self, returns: FloatArray) -> bool:
        known = returns[np.isfinite(returns)]
        return len(known) >= 10 * self.states and float(np.ptp(known)) > 0


DETECTORS: Mapping[str, type[Detector]] = {each.kind: each for each in (Volatility, Trend, Hidden)}


def detect(bars: Bars, detector: Detector) -> Regimes:
    """Return the regimes of `bars`: those of the first n bars are the same whatever follows them."""
    value, raw = detector.read(bars)
    state = confirmed(raw, confirm=detector.confirm, dwell=detector.dwell)
    return Regimes(kind=detector.kind, labels=detector.words, time=bars.time, value=value, state=state)


def detect_on(bars: Bars, detector: Detector, told: Told) -> Regimes:
    """Return the regimes of the bars after those of which something was told, going on from that.

    Where `told` is what `detect` says of the same bars, this is what it says of the rest. Where it is not, because bars
    were revised or because `bars` begin later, what was told holds: the first change is one from `told.regime`, and it
    comes no sooner than `dwell` bars after the change before it.
    """
    value, raw = detector.read(bars)
    first = int(np.searchsorted(bars.time, told.until, side="right"))
    regime = detector.words.index(told.regime) if told.regime in detector.words else UNKNOWN
    state = confirmed(
        raw, confirm=detector.confirm, dwell=detector.dwell, first=first, regime=regime, lasted=told.lasted
    )
    whole = Regimes(kind=detector.kind, labels=detector.words, time=bars.time, value=value, state=state)
    return whole.after(told.until)


def detector_clean(given: Mapping[str, Any], pointer: str = "regime") -> Detector:
    """Return the detector that `{kind, …}` asks for, with defaults for what it leaves out.

    Raises:
        ValidationFailed: naming each wrong member as `<pointer>/<name>`.
    """
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in DETECTORS:
        detail = f"Must be one of {', '.join(DETECTORS)}."
        raise ValidationFailed(errors=[FieldError(_at(pointer, "kind"), "invalid_choice", detail)])
    found = DETECTORS[kind]
    known = {field.name: field.default for field in fields(found)}
    errors: list[FieldError] = []
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name == "kind":
            continue
        if name not in known:
            detail = f"The detector {kind} has no such setting; it has: {', '.join(sorted(known))}."
            errors.append(FieldError(_at(pointer, name), "unknown", detail))
        elif name in found._choices:
            if value not in found._choices[name]:
                detail = f"Must be one of {', '.join(found._choices[name])}."
                errors.append(FieldError(_at(pointer, name), "invalid_choice", detail))
            values[name] = value
        else:
            values[name] = _number(value, isinstance(known[name], int), found._bounds[name], name, pointer, errors)
    if not errors:
        merged = {**known, **values}
        for lower, higher in (("leave", "enter"), ("slope_leave", "slope_enter")):
            if lower in merged and merged[lower] > merged[higher]:
                errors.append(FieldError(_at(pointer, lower), "invalid", f"Must be at most {higher}."))
    if errors:
        raise ValidationFailed(errors=errors)
    return found(**values)


def _number(
    value: object, whole: bool, bounds: tuple[float, float], name: str, pointer: str, errors: list[FieldError]
) -> Any:
    least, most = bounds
    kind = "a whole number" if whole else "a number"
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        errors.append(FieldError(_at(pointer, name), "invalid", f"Must be {kind}."))
        return None
    if whole and value != int(value):
        errors.append(FieldError(_at(pointer, name), "invalid", f"Must be {kind}."))
        return None
    if not least <= value <= most:
        errors.append(FieldError(_at(pointer, name), "out_of_range", f"Must be from {least:g} to {most:g}."))
    return int(value) if whole else float(value)


def _at(pointer: str, name: str) -> str:
    return f"{pointer}/{name}" if pointer else name
