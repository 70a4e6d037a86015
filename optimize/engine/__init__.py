"""Strategies over bars, as fast as the machine allows: many combinations, windows and symbols at once.

The names below are the whole of it. What needs the compiler is loaded on first use, since loading it takes longer than
a web process may take to start; settings, axis and folds need none of it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from optimize.engine.axis import Axis, make_axis
from optimize.engine.folds import Fold, folds
from optimize.engine.settings import Settings
from optimize.engine.statistics import Statistics

if TYPE_CHECKING:
    from optimize.engine.evaluation import evaluate
    from optimize.engine.plan import Plan, encode
    from optimize.engine.portfolio import Returns, Sums, portfolio_sums, returns
    from optimize.engine.series import Series, prepare
    from optimize.engine.simulation import Path, simulate
    from optimize.engine.warming import warm

_HOMES = {
    "Path": "simulation",
    "Plan": "plan",
    "Returns": "portfolio",
    "Series": "series",
    "Sums": "portfolio",
    "encode": "plan",
    "evaluate": "evaluation",
    "portfolio_sums": "portfolio",
    "prepare": "series",
    "returns": "portfolio",
    "simulate": "simulation",
    "warm": "warming",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = [
    "Axis",
    "Fold",
    "Path",
    "Plan",
    "Returns",
    "Series",
    "Settings",
    "Statistics",
    "Sums",
    "encode",
    "evaluate",
    "folds",
    "make_axis",
    "portfolio_sums",
    "prepare",
    "returns",
    "simulate",
    "warm",
]
