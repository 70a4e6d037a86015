"""How far one round may move a parameter. Pure; no Django.

The rule, of a parameter at `current` and a limit of `pct` percent:

- float: at most pct % of |current| up or down; where current is 0, pct % of its declared range (maximum - minimum);
- int: the same, rounded down to whole steps, so that a small number may not move at all;
- choice, bool, reference: may change only where pct is 100, since nothing lies between two of them;
- never outside the declared range; a value that stands outside of it already, or is not of its kind, is not moved.

Numbers are read as they are written: 20 % of 0.1 reaches 0.12 exactly, and no rounding of binary fractions takes a whole
step away or gives one more.
"""

import math
import sys
from collections.abc import Mapping
from fractions import Fraction

from workflows.strategies.base import Parameter, StrategyType
from workflows.strategies.rules import Value

_MOST = Fraction(sys.float_info.max)


def reach(parameter: Parameter, current: Value, pct: float) -> tuple[float, float] | None:
    """Return the least and the greatest value that `current` may become, both included; None where it may not move.

    None also of what is no number, even where a change is allowed (`clamp` and `within` know).

    Raises:
        ValueError: for a percentage that is not from 0 to 100.
    """
    if not 0 <= pct <= 100:  # NaN too
        raise ValueError("pct must be from 0 to 100")
    if parameter.kind not in ("int", "float") or not _fits(parameter, current):
        return None
    at, lowest, highest = _exact(current), _bound(parameter.minimum, -_MOST), _bound(parameter.maximum, _MOST)
    if at:
        whole = abs(at)
    elif parameter.minimum is None or parameter.maximum is None:
        return None  # percent of nothing that is known
    else:
        whole = highest - lowest
    step = whole * _exact(pct) / 100
    if parameter.kind == "int":
        step = Fraction(math.floor(step))
    low, high = _inside(max(at - step, lowest), at), _inside(min(at + step, highest), at)
    return (low, high) if low < high else None


def clamp(parameter: Parameter, current: Value, wanted: Value, pct: float) -> Value:
    """Return the value nearest to `wanted` that `current` may become; `current` itself where there is none.

    Of an int the answer is an int, of a float a float.

    Raises:
        ValueError: for a percentage that is not from 0 to 100.
    """
    bounds = reach(parameter, current, pct)
    if parameter.kind not in ("int", "float"):
        return wanted if pct == 100 and _fits(parameter, wanted) else current
    if bounds is None or isinstance(wanted, str | bool) or math.isnan(wanted):
        return current
    nearest = min(max(wanted, bounds[0]), bounds[1])
    # The bounds of an int are whole, so that rounding does not lead out of them.
    return round(nearest) if parameter.kind == "int" else float(nearest)


def within(strategy_type: StrategyType, live: Mapping[str, Value], new: Mapping[str, Value], pct: float) -> list[str]:
    """Return the names of the parameters that `new` would move further than `live` allows; none where all is well.

    Named are also parameters that are missing on either side, or that the type does not know. What stays as it is breaks
    no rule.

    Raises:
        ValueError: for a percentage that is not from 0 to 100.
    """
    known = {parameter.name: parameter for parameter in strategy_type.parameters}
    names = [*known, *(name for name in dict.fromkeys([*live, *new]) if name not in known)]
    return [
        name
        for name in names
        if name not in known
        or name not in live
        or name not in new
        or not _allowed(known[name], live[name], new[name], pct)
    ]


def _allowed(parameter: Parameter, current: Value, value: Value, pct: float) -> bool:
    bounds = reach(parameter, current, pct)
    if value == current and isinstance(value, bool) == isinstance(current, bool):
        return True
    if parameter.kind not in ("int", "float"):
        return pct == 100 and _fits(parameter, value)
    if bounds is None or isinstance(value, str | bool) or (parameter.kind == "int" and not isinstance(value, int)):
        return False
    return bounds[0] <= value <= bounds[1]  # never true of NaN


def _fits(parameter: Parameter, value: Value) -> bool:
    """Return whether a value is of the parameter's kind and in its range."""
    try:
        parameter.clean(value)
    except (ValueError, OverflowError):
        return False
    return True


def _exact(value: Value) -> Fraction:
    return Fraction(str(value))


def _bound(declared: float | None, otherwise: Fraction) -> Fraction:
    return otherwise if declared is None else _exact(declared)


def _inside(bound: Fraction, current: Fraction) -> float:
    """Return the number nearest to `bound` that is not beyond it, seen from `current`."""
    number = float(bound)
    beyond = _exact(number) > bound if bound > current else _exact(number) < bound
    return math.nextafter(number, float(current)) if beyond and number != float(current) else number
