"""What a strategy type is: declared parameters, and one rule from figures to signals.

The live step, the back-test and the walk-forward all read that one rule, so that they cannot disagree.

Rules that every type keeps: the values at bar t use bars up to and including t; a bar with NaN gives no signal, and
neither does one whose figures are not yet warmed up; the arrays are as long as the bars.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from market.bars import Bars
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.strategies.rules import BoolArray, Columns, FloatArray, Params, Rule, Value, evaluate

_REFERENCE = re.compile(r"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Parameter:
    """One knob: `minimum` and `maximum` are inclusive and bind numbers only; `choices` bind `choice` only.

    A `reference` is the id of something that a higher floor keeps; it has no default and must always be given.
    """

    name: str
    kind: Literal["int", "float", "choice", "bool", "reference"]
    default: Value
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def clean(self, value: object) -> Value:
        """Return `value` in this parameter's type.

        Raises:
            ValueError: whose text says what would be right.
        """
        if self.kind == "bool":
            if not isinstance(value, bool):
                raise ValueError("Must be true or false.")
            return value
        if self.kind == "choice":
            if value not in self.choices:
                raise ValueError(f"Must be one of {', '.join(self.choices)}.")
            return str(value)
        if self.kind == "reference":
            if not isinstance(value, str) or not _REFERENCE.fullmatch(value):
                raise ValueError(f"Must be an id such as 01890a5d-ac96-774b-bcce-b302099a8057. {self.help}")
            return value.lower()
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError("Must be a number.")
        if self.kind == "int" and value != int(value):
            raise ValueError("Must be a whole number.")
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"Must be at least {self.minimum:g}.")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"Must be at most {self.maximum:g}.")
        return int(value) if self.kind == "int" else float(value)

    def schema(self) -> dict[str, Any]:
        """Return the parameter as JSON Schema."""
        if self.kind == "reference":
            return {"type": "string", "format": "uuid", "description": self.help}
        kinds = {"int": "integer", "float": "number", "choice": "string", "bool": "boolean"}
        result: dict[str, Any] = {"type": kinds[self.kind], "default": self.default, "description": self.help}
        if self.minimum is not None:
            result["minimum"] = self.minimum
        if self.maximum is not None:
            result["maximum"] = self.maximum
        if self.choices:
            result["enum"] = list(self.choices)
        return result


@dataclass(frozen=True)
class Constraint:
    """A rule between parameters; `name` is the parameter that an error points at."""

    name: str
    holds: Callable[[Params], bool]
    message: str


@dataclass(frozen=True)
class Signals:
    """`entries[t]`: be long from the next open on; `exits[t]`: be flat. Conditions, true on every bar they hold."""

    entries: BoolArray
    exits: BoolArray


@dataclass(frozen=True)
class Condition:
    """One thing that a strategy looks at: `margin` is above zero where it speaks for long, below where for flat."""

    name: str
    margin: FloatArray


@dataclass(frozen=True)
class Reading:
    """What a strategy says about its figures: the conditions that its confidence weighs, the figures of its reason."""

    conditions: tuple[Condition, ...]
    figures: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """The signals with what they were made of, for the reason and the confidence of a decision."""

    signals: Signals
    conditions: tuple[Condition, ...]
    figures: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True)
class StrategyType:
    """A family of strategies.

    Attributes:
        grid: parameter -> values; the default grid of a search is their product, less what breaks a constraint.
        warm_up: bars that must be there before the first bar that may give a signal.
        rule: when it enters and leaves, from cleaned params; the only place that says so.
        reading: what to tell people about the same columns; never asked where signals alone are wanted.
        objection: why cleaned params must not be judged on bars that open from a moment on, such as a model on the bars
            that it learnt from; None where nothing speaks against it. Raises ValidationFailed for a reference to
            something that is not there.
    """

    slug: str
    title: str
    help: str
    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint, ...]
    grid: Mapping[str, tuple[Value, ...]]
    warm_up: Callable[[Params], int]
    rule: Callable[[Params], Rule]
    reading: Callable[[Columns, Params], Reading]
    objection: Callable[[Params, datetime], FieldError | None] = lambda params, first: None

    @property
    def references(self) -> tuple[str, ...]:
        """The parameters that name something kept elsewhere; they have no default."""
        return tuple(parameter.name for parameter in self.parameters if parameter.kind == "reference")

    def clean(self, params: Mapping[str, Any], pointer: str = "params") -> dict[str, Value]:
        """Return every parameter in its type, defaults filled in.

        Raises:
            ValidationFailed: naming `pointer/<name>` for each unknown, wrong or contradicting parameter.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        names = ", ".join(known)
        errors = [
            FieldError(f"{pointer}/{name}", "unknown_parameter", f"{self.slug} has no such parameter. Known: {names}.")
            for name in params
            if name not in known
        ]
        cleaned: dict[str, Value] = {}
        for name, parameter in known.items():
            try:
                cleaned[name] = parameter.clean(params.get(name, parameter.default))
            except ValueError as error:
                errors.append(FieldError(f"{pointer}/{name}", "invalid", str(error)))
        if not errors:
            errors = [
                FieldError(f"{pointer}/{rule.name}", "constraint", rule.message)
                for rule in self.constraints
                if not rule.holds(cleaned)
            ]
        if errors:
            raise ValidationFailed(errors=errors)
        return cleaned

    def default_grid(self) -> Iterator[dict[str, Value]]:
        """Yield every combination of the default grid that keeps the constraints, in a stable order."""
        combinations: list[dict[str, Value]] = [{}]
        for name, values in self.grid.items():
            combinations = [{**combination, name: value} for combination in combinations for value in values]
        defaults = {parameter.name: parameter.default for parameter in self.parameters}
        for combination in combinations:
            if all(rule.holds({**defaults, **combination}) for rule in self.constraints):
                yield combination

    def warmup(self, params: Params) -> int:
        """Return how many bars are needed before one may give a signal. The params must be clean."""
        return self.warm_up(params)

    def study(self, bars: Bars, params: Params) -> Study:
        """Return signals and what they were made of. The params must be clean."""
        columns = Columns(bars)
        signals = Signals(*evaluate(self.rule(params), columns))
        if len(bars) == 0:
            return Study(signals, ())
        reading = self.reading(columns, params)
        return Study(signals, reading.conditions, reading.figures)

    def signals(self, bars: Bars, params: Params) -> Signals:
        """Return the signals alone. The params must be clean."""
        return Signals(*evaluate(self.rule(params), Columns(bars)))


def target_position(signals: Signals) -> npt.NDArray[np.int8]:
    """Return the position wanted after each bar: 1 long, 0 flat; int8, as long as the signals.

    The last bar that said something decides. A bar with an entry and an exit at once contradicts itself and changes
    nothing, as in `vectorbt.Portfolio.from_signals`.
    """
    says = signals.entries ^ signals.exits
    last = np.maximum.accumulate(np.where(says, np.arange(len(says)), -1)) if len(says) else np.zeros(0, np.int64)
    target: npt.NDArray[np.int8] = np.where(last >= 0, signals.entries[last], False).astype(np.int8)
    return target


def confidence(study: Study, index: int, target: int, window: int = 252) -> float:
    """Return how firmly the figures at bar `index` support being at `target`, 0 to 1.

    The mean over the strategy's conditions; one that speaks against the target counts 0, one that speaks for it
    counts the share of the last `window` bars on which its margin was no larger in size. So 1.0 says that all
    conditions agree, each more clearly than at any time in the last year.
    """
    scores: list[float] = []
    for condition in study.conditions:
        margin = condition.margin[index]
        agrees = margin > 0 if target == 1 else margin < 0
        if not agrees:  # also where the margin is NaN
            scores.append(0.0)
            continue
        past = np.abs(condition.margin[max(0, index - window + 1) : index + 1])
        past = past[np.isfinite(past)]
        scores.append(float(np.count_nonzero(past <= abs(margin)) / len(past)))
    return round(sum(scores) / len(scores), 6) if scores else 0.0
