"""Figures as JSON has them."""

import math
from typing import Any

import numpy as np

from market.bars import from_ns
from tradingsite.common.clock import rfc3339


def finite(value: Any) -> float | None:
    """Return a number, or None for one that cannot be told."""
    number = float(value)
    return number if math.isfinite(number) else None


def date_of(nanoseconds: Any) -> str:
    """Return the moment at which a bar opened."""
    return rfc3339(from_ns(int(nanoseconds)))


def plain(value: Any) -> Any:
    """Return `value` with numbers of Python's own, and None for those that are not finite."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return finite(value)
    return value
