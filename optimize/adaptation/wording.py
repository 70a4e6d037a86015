"""What a round shows of itself: figures small enough to be kept for ever, and a sentence. Pure; no Django."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimize.engine.axis import Axis
from optimize.honesty.sharpe import moments
from optimize.honesty.words import count_of
from optimize.words import date_of, plain
from workflows.strategies.rules import Value

FloatArray = NDArray[np.float64]

CURVE_POINTS = 200


@dataclass(frozen=True, eq=False)
class Figures:
    """One candidate on the unseen bars.

    Attributes:
        params: those that vary.
        returns: per bar, the tests one behind the other.
        trades: closed round trips.
        training: what the search saw of it; NaN where it has no score.
    """

    params: Mapping[str, Value]
    returns: FloatArray
    trades: int
    training: float

    def as_dict(self, periods_per_year: float) -> dict[str, Any]:
        worth = np.cumprod(1 + self.returns)
        fall = 1 - worth / np.maximum(np.maximum.accumulate(worth), 1.0)
        ratio = moments(self.returns).sharpe
        return {
            "params": dict(self.params),
            "train_score": self.training,
            "return": worth[-1] - 1,
            "sharpe": None if ratio is None else ratio * np.sqrt(periods_per_year),
            "max_drawdown": fall.max(),
            "trades": self.trades,
        }


def evidence_of(
    *,
    objective: str,
    searched: int,
    axis: Axis,
    symbols: Sequence[str],
    folds: Sequence[Mapping[str, Any]],
    live: Figures,
    chosen: Figures | None,
    times: NDArray[np.int64],
    periods_per_year: float,
    test: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the evidence of a round, JSON-able.

    Args:
        searched: candidates beside the live one.
        folds: `train` and `test` are stretches of the axis.
        times: of the unseen bars.
        test: of the chosen one against the live one.
    """
    evidence: dict[str, Any] = plain(
        {
            "objective": objective,
            "searched": searched,
            "symbols": list(symbols),
            "window": _stretch(axis, (0, len(axis))),
            "unseen_bars": len(times),
            "folds": [
                {**fold, "train": _stretch(axis, fold["train"]), "test": _stretch(axis, fold["test"])} for fold in folds
            ],
            "live": live.as_dict(periods_per_year),
            "chosen": None if chosen is None else chosen.as_dict(periods_per_year),
            **test,
            "curve": _curve(times, live, chosen),
        }
    )
    return evidence


def text_of(code: str, evidence: Mapping[str, Any], least_trades: int) -> str:
    """Return what came of a round in a sentence or two."""
    searched, bars = count_of(evidence["searched"], "candidate"), evidence["unseen_bars"]
    if code == "NOTHING_REACHABLE":
        return (
            "No other parameters are within reach of the live ones. Raise max_param_change_pct or widen search_space."
        )
    if code == "LIVE_IS_BEST":
        return f"Of {searched} none did better than the live parameters where the search looked."
    live, chosen = evidence["live"], evidence["chosen"]
    if chosen is None:
        return f"None of {searched} closed a trade where the search looked. Use a longer trailing_window."
    moved = ", ".join(
        f"{name} {_shown(live['params'][name])} → {_shown(value)}"
        for name, value in chosen["params"].items()
        if value != live["params"][name]
    )
    if code == "TOO_FEW_TRADES":
        trades = count_of(chosen["trades"], "trade")
        return (
            f"{moved} did best where the search looked, but closed {trades} on {bars} unseen bars; at least {least_trades} "
            "are needed. Use a longer trailing_window."
        )
    ahead = (
        f"{abs(evidence['ahead']) * 100:.3f} % a bar {'more' if evidence['ahead'] > 0 else 'less'} than the live parameters "
        f"on {bars} unseen bars (p {_p(evidence['p'])}, {_p(evidence['p_adjusted'])} after correction for {searched})"
    )
    if code == "BETTER":
        return f"{moved} earned {ahead}."
    return f"{moved} did best where the search looked and earned {ahead}: not proved at {evidence['alpha']:g}."


def _shown(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _stretch(axis: Axis, stretch: tuple[int, int]) -> dict[str, Any]:
    first, last = stretch
    return {"from": date_of(axis.time[first]), "to": date_of(axis.time[last - 1]), "bars": last - first}


def _curve(times: NDArray[np.int64], live: Figures, chosen: Figures | None) -> dict[str, Any]:
    """Return what one unit became over the unseen bars, thinned."""
    at = np.unique(np.linspace(0, len(times) - 1, min(CURVE_POINTS, len(times))).round().astype(np.int64))
    return {
        "time": [date_of(moment) for moment in times[at]],
        "live": np.cumprod(1 + live.returns)[at].round(6),
        "chosen": None if chosen is None else np.cumprod(1 + chosen.returns)[at].round(6),
    }
