"""Rules on figures. Plain data in, plain data out."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflows.errors import UnknownFigure

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@dataclass(frozen=True)
class Rule:
    """`left op right`: `left` names a figure, `right` names one or is a number."""

    left: str
    op: str
    right: float | str

    @property
    def crosses(self) -> bool:
        return self.op.startswith("crosses_")


def _pair(side: float | str, figures: Mapping[str, Mapping[str, Any]]) -> tuple[float | None, float | None]:
    """Return the side's value now and on the bar before."""
    if not isinstance(side, str):
        return float(side), float(side)
    if side not in figures:
        known = ", ".join(sorted(figures))
        raise UnknownFigure(f"A rule names {side!r}, which no step computed. Computed: {known}.")
    now, before = figures[side].get("value"), figures[side].get("previous")
    return (
        float(now) if now is not None and math.isfinite(float(now)) else None,
        float(before) if before is not None and math.isfinite(float(before)) else None,
    )


def check_rule(rule: Rule, figures: Mapping[str, Mapping[str, Any]]) -> tuple[bool, str]:
    """Say whether one rule holds, and with which figures. A figure without a value fails the rule.

    Raises:
        UnknownFigure: when a name stands for nothing.
    """
    (left, left_before), (right, right_before) = _pair(rule.left, figures), _pair(rule.right, figures)

    def text(side: float | str, value: float | None) -> str:
        number = "no value" if value is None else f"{value:.6g}"
        return number if not isinstance(side, str) else f"{side} {number}"

    detail = f"{text(rule.left, left)} {rule.op.replace('_', ' ')} {text(rule.right, right)}"
    if left is None or right is None:
        return False, detail
    if not rule.crosses:
        return _COMPARE[rule.op](left, right), detail
    if left_before is None or right_before is None:
        return False, f"{detail} (no value on the bar before)"
    detail = f"{detail} (before: {left_before:.6g} and {right_before:.6g})"
    if rule.op == "crosses_above":
        return left_before <= right_before and left > right, detail
    return left_before >= right_before and left < right, detail


def check_rules(
    rules: Sequence[Rule], figures: Mapping[str, Mapping[str, Any]], *, match_all: bool
) -> tuple[bool, str]:
    """Say whether all rules hold, or any of them, and name each with its figures."""
    results = [check_rule(rule, figures) for rule in rules]
    passed = (all if match_all else any)(ok for ok, _ in results)
    word = " and " if match_all else " or "
    return passed, word.join(detail if ok else f"not {detail}" for ok, detail in results)
