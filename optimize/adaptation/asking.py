"""What a round is asked: the newest complete bars, pinned, and what may be compared on them. Loads nothing that computes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from market.bars import TimeArray, from_ns
from market.errors import SeriesEmpty, SeriesUnknown
from market.selectors import complete_bars
from optimize import data
from optimize.adaptation.candidates import candidates
from optimize.adaptation.models import LiveAdaptation
from optimize.adaptation.proposing import LEAST_WINDOW, WORK_MAX, work_of
from optimize.services.taking import Live
from optimize.walkforward.asking import FOLD_BARS, SYMBOLS_MAX
from optimize.work import Plan
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.models import Strategy
from workflows.strategies import StrategyType, strategy_types

WINDOW_MAX = 100_000
# Folds of the walk-forward inside the window: as many as are long enough.
FOLDS_LEAST, FOLDS_MOST = 2, 4
# What an adaptation says and its rounds read.
SETTING = ("trailing_window", "max_param_change_pct", "objective", "search_space", "costs", "watch_bars")


def body_of(adaptation: LiveAdaptation, strategy: Strategy, live: Live) -> dict[str, Any]:
    """Return what a round of this adaptation is asked."""
    return {
        "adaptation_id": str(adaptation.pk),
        "strategy_id": str(strategy.pk),
        "strategy_type": strategy.strategy_type,
        "symbols": list(strategy.symbols),
        "timeframe": live.timeframe,
        "source": live.source,
        "adjustment": live.adjustment,
        "live_params": dict(live.params),
        **{name: getattr(adaptation, name) for name in SETTING},
    }


def plan(body: Mapping[str, Any]) -> Plan:
    """Return how a round would be done.

    Args:
        body: as `body_of` makes it.

    Raises:
        ValidationFailed: naming `strategy_id` for what is wrong with the strategy, else what the adaptation says.
    """
    strategy_type, live, window = type_of(body["strategy_type"]), body["live_params"], body["trailing_window"]
    compared = candidates(strategy_type, live, body["search_space"], body["max_param_change_pct"])
    warm_up = max(strategy_type.warmup(params) for params in compared)
    n_splits = folds_of(window, warm_up)
    start, end = newest(body, utcnow())
    chosen = data.choose(
        symbols=body["symbols"],
        timeframe=body["timeframe"],
        start=start,
        end=end,
        source=body["source"],
        adjustment=body["adjustment"],
    )
    check_work(len(compared), window, warm_up, len(body["symbols"]))
    request = {
        **body,
        "source": chosen.data[0].source,
        "start": rfc3339(start),
        "end": rfc3339(end),
        "n_splits": n_splits,
        "warm_up": warm_up,
        "periods_per_year": chosen.periods_per_year,
    }
    return Plan(
        request=request,
        total=len(compared),
        # The correction for the number searched needs them all together.
        chunks=[(0, len(compared))],
        data=chosen.data,
        n_folds=n_splits,
        strategy_type=strategy_type.slug,
    )


def type_of(slug: str) -> StrategyType:
    """Return a strategy type whose parameters can be moved in small steps.

    Raises:
        ValidationFailed: naming `strategy_id`.
    """
    if slug not in strategy_types:
        detail = f"The strategy decides by {slug or 'no strategy type'}, which cannot be searched."
        raise ValidationFailed(errors=[FieldError("strategy_id", "not_searchable", detail)])
    found = strategy_types.get(slug)
    if found.references:
        names = ", ".join(found.references)
        detail = f"{found.title} decides by {names}, which no small step leads away from; train it anew instead."
        raise ValidationFailed(errors=[FieldError("strategy_id", "not_searchable", detail)])
    return found


def folds_of(window: int, warm_up: int) -> int:
    """Return how many folds a window is cut into.

    Raises:
        ValidationFailed: it is too short for two; said is the number of bars that would do.
    """
    each = warm_up + FOLD_BARS
    needed = max(FOLDS_LEAST * each, LEAST_WINDOW)
    if window < needed:
        detail = (
            f"Must be at least {needed} bars: each of {FOLDS_LEAST} folds needs {warm_up} to warm up the slowest "
            f"parameters and {FOLD_BARS} more, and all together {LEAST_WINDOW}."
        )
        raise ValidationFailed(errors=[FieldError("trailing_window", "too_short", detail)])
    return min(window // each, FOLDS_MOST)


def check_work(combinations: int, window: int, warm_up: int, symbols: int) -> None:
    """See that a round can be done in one go.

    Raises:
        ValidationFailed: naming `search_space`.
    """
    # Those that warm the indicators are traded as well.
    looked = symbols * (window + max(data.HISTORY, 10 * warm_up))
    if work_of(combinations, looked) > WORK_MAX:
        detail = (
            f"{combinations} combinations over {looked:,} bars are too much for a round, {WORK_MAX // looked} would do: "
            "use fewer values, bars or symbols."
        )
        raise ValidationFailed(errors=[FieldError("search_space", "too_much_work", detail)])


def newest(body: Mapping[str, Any], wall: datetime) -> tuple[datetime, datetime]:
    """Return when the first and the last bar of the window opened: the newest that are complete at `wall`.

    Raises:
        ValidationFailed: there are not as many, or a symbol has none.
    """
    symbols, window = body["symbols"], body["trailing_window"]
    if not 1 <= len(symbols) <= SYMBOLS_MAX:
        detail = f"The strategy has {len(symbols)} symbols; an adaptation takes 1 to {SYMBOLS_MAX}."
        raise ValidationFailed(errors=[FieldError("strategy_id", "symbols", detail)])
    times = complete_times(symbols, body, wall, limit=window)
    union = np.unique(np.concatenate(times))
    if len(union) < window:
        detail = f"There are {len(union)} complete {body['timeframe']} bars, fewer than {window}."
        raise ValidationFailed(errors=[FieldError("trailing_window", "too_few_bars", detail)])
    return from_ns(int(union[-window])), from_ns(int(union[-1]))


def complete_times(symbols: Sequence[str], series: Mapping[str, Any], wall: datetime, *, limit: int) -> list[TimeArray]:
    """Return when the newest `limit` complete bars of each symbol opened.

    Args:
        series: `timeframe`, `source` and `adjustment` of the bars.

    Raises:
        ValidationFailed: naming `strategy_id`, for symbols without such bars.
    """
    times, errors = [], []
    for symbol in symbols:
        try:
            bars = complete_bars(
                symbol=symbol,
                source=series["source"],
                timeframe=series["timeframe"],
                adjustment=series["adjustment"],
                wall=wall,
                limit=limit,
            )
        except (SeriesUnknown, SeriesEmpty) as error:
            errors.append(FieldError("strategy_id", "no_series", error.detail))
            continue
        times.append(bars.time)
    if errors:
        raise ValidationFailed(errors=errors)
    return times
