"""What a search is asked: its body checked against what there is, every default said, and cut into chunks."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from optimize import data
from optimize.honesty import Gate
from optimize.walkforward.grids import COMBINATIONS_MAX, Grid, clean_axes, make_grid, sampled
from optimize.work import Plan, stretches
from tradingsite.common.clock import rfc3339
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.strategies import StrategyType, strategy_types

SYMBOLS_MAX = 50
# Bars that a fold must have beyond what the slowest combination needs to warm up.
FOLD_BARS = 30
# One chunk: bars times combinations times symbols, about a tenth of a second of one core; figures, which are its
# memory; and combinations, since each costs some of the interpreter's time, in which nobody else is served.
CHUNK_WORK = 60_000_000
CHUNK_FIGURES = 500_000
CHUNK_COMBINATIONS = 2_000
# All chunks: about an hour of one core. Beyond it nobody waits, and every other search would.
WORK_MAX = 2_000_000_000_000
SEARCHES = ("grid", "random", "tpe")
OBJECTIVES = ("sharpe", "sortino", "calmar", "total_return", "profit_factor")
TRIALS_DEFAULT = 100
TPE_TRIALS_MAX = 2_000


def plan(body: Mapping[str, Any]) -> Plan:
    """Return how a search would be done.

    Args:
        body: as `OptimizeStrategySerializer` lets it through.

    Raises:
        ValidationFailed: naming each wrong field.
    """
    strategy_type = _type(body["strategy_type"])
    errors: list[FieldError] = []
    axes = _tried(errors, lambda: clean_axes(strategy_type, body.get("param_grid")))
    symbols = list(dict.fromkeys(body["symbols"]))
    start, end = body["start"], body["end"]
    if start >= end:
        errors.append(FieldError("end", "invalid", "Must be later than start."))
    errors += _costs_errors(body)
    gate = _tried(errors, lambda: Gate.clean({} if body.get("gate") is None else body["gate"]))
    grid = None if axes is None else _tried(errors, lambda: make_grid(strategy_type, axes))
    chosen = None
    if start < end:
        chosen = _tried(
            errors,
            lambda: data.choose(
                symbols=symbols,
                timeframe=body["timeframe"],
                start=start,
                end=end,
                source=body.get("source"),
                adjustment=body.get("adjustment"),
            ),
        )
    search, max_trials = body["search"], body.get("max_trials")
    if grid is not None:
        errors += _objections(strategy_type, grid, start)
        errors += _search_errors(search, max_trials, grid)
    if errors or grid is None or chosen is None or gate is None:
        raise ValidationFailed(errors=errors)
    searched, max_trials = _searched(search, max_trials, grid, body["seed"])
    warm_up = max(strategy_type.warmup(params) for params in _extremes(searched))
    _check_folds(len(chosen.times), warm_up, body)
    _check_groups(len(chosen.times), body["cpcv"])
    total = max_trials if search == "tpe" else len(searched)
    work = sum(chosen.counts)
    if work * total > WORK_MAX:
        detail = f"{total} combinations over {work} bars are too much; use fewer of either."
        raise ValidationFailed(errors=[FieldError("param_grid", "too_much_work", detail)])
    request = {
        **{name: body[name] for name in _PLAIN},
        "strategy_type": strategy_type.slug,
        "symbols": symbols,
        "start": rfc3339(start),
        "end": rfc3339(end),
        "param_grid": {name: list(values) for name, values in grid.axes.items()},
        "max_trials": max_trials,
        "source": chosen.data[0].source,
        "adjustment": body.get("adjustment"),
        "stop_loss": body.get("stop_loss"),
        "take_profit": body.get("take_profit"),
        "gate": gate.as_dict(),
        "periods_per_year": chosen.periods_per_year,
        "warm_up": warm_up,
    }
    figures = 2 * body["n_splits"] * len(symbols)
    size = min(CHUNK_COMBINATIONS, CHUNK_WORK // max(work, 1), CHUNK_FIGURES // figures)
    return Plan(
        request=request,
        total=total,
        chunks=[(0, total)] if search == "tpe" else stretches(total, size),
        data=chosen.data,
        n_folds=body["n_splits"],
        strategy_type=strategy_type.slug,
        seed=body["seed"],
    )


_PLAIN = (
    "timeframe", "n_splits", "train_ratio", "anchored", "embargo", "objective", "search", "seed", "costs",
    "initial_cash", "direction", "cpcv",
)  # fmt: skip


def _type(slug: str) -> StrategyType:
    if slug not in strategy_types:
        known = ", ".join(item.slug for item in strategy_types.all())
        detail = f"There is no such strategy type. Known: {known}."
        raise ValidationFailed(errors=[FieldError("strategy_type", "unknown", detail)])
    return strategy_types.get(slug)


def _tried(errors: list[FieldError], what: Any) -> Any:
    """Return what `what` gives, or None, with its complaints among the errors: all are told at once."""
    try:
        return what()
    except ValidationFailed as error:
        errors.extend(error.errors)
        return None


def _costs_errors(body: Mapping[str, Any]) -> list[FieldError]:
    take_profit = body.get("take_profit")
    if body["direction"] == "long_short" and take_profit is not None and take_profit >= 1:
        return [FieldError("take_profit", "invalid", "Must be below 1 where short positions are traded.")]
    return []


def _objections(strategy_type: StrategyType, grid: Grid, start: datetime) -> list[FieldError]:
    """Return what speaks against judging the things that the combinations name on this period."""
    errors: list[FieldError] = []
    for name in strategy_type.references:
        if name not in grid.axes:
            errors.append(FieldError(f"param_grid/{name}", "required", "Has no default; name at least one."))
            continue
        for value in grid.axes[name]:
            params = {**grid.at(0), name: value}
            found = _tried(errors, lambda params=params: strategy_type.objection(params, start))
            errors += [found] if found is not None else []
    return errors


def _search_errors(search: str, max_trials: int | None, grid: Grid) -> list[FieldError]:
    if search == "grid":
        if max_trials is not None and max_trials < len(grid):
            detail = f"A grid search tries all {len(grid)} combinations; ask for random or tpe, or leave this out."
            return [FieldError("max_trials", "invalid", detail)]
        if len(grid) > COMBINATIONS_MAX:
            detail = f"These are {len(grid)} combinations, at most {COMBINATIONS_MAX} are searched. Use fewer values."
            return [FieldError("param_grid", "too_many", detail)]
    if search == "tpe" and max_trials is not None and max_trials > TPE_TRIALS_MAX:
        return [FieldError("max_trials", "too_many", f"Must be at most {TPE_TRIALS_MAX} with tpe.")]
    return []


def _searched(search: str, max_trials: int | None, grid: Grid, seed: int) -> tuple[Grid, int]:
    """Return the combinations that may be looked at, and how many of them are."""
    if search == "grid":
        return grid, len(grid)
    count = min(max_trials or TRIALS_DEFAULT, len(grid), COMBINATIONS_MAX)
    return (sampled(grid, count, seed) if search == "random" else grid), count


def _extremes(grid: Grid) -> list[dict[str, Any]]:
    """Return combinations among which is one with the longest warm-up, without making all of them.

    No type warms up longer for less of everything: the largest numbers need the most bars.
    """
    greatest = {
        name: max(values) if all(isinstance(value, int | float) for value in values) else values[-1]
        for name, values in grid.axes.items()
    }
    return [{**grid.fixed, **greatest}]


def _check_folds(count: int, warm_up: int, body: Mapping[str, Any]) -> None:
    """See that the shortest fold is long enough.

    Raises:
        ValidationFailed: with the code FOLD_TOO_SHORT.
    """
    n_splits, embargo = body["n_splits"], body["embargo"]
    length, needed = count // n_splits, warm_up + FOLD_BARS
    train = int(length * body["train_ratio"] + 1e-9)
    test = length - train - embargo
    if length >= needed and train >= 2 and test >= 2:
        return
    if length < needed:
        detail = (
            f"The period has {count} bars, {length} in each of {n_splits} folds; the slowest combination needs "
            f"{warm_up} to warm up and {FOLD_BARS} more. Use a longer period, fewer folds or faster parameters."
        )
    else:
        detail = (
            f"A fold has {length} bars, of which {max(train, 0)} are for training and {max(test, 0)} for testing. Use "
            "fewer folds, another train_ratio or a smaller embargo."
        )
    raise ValidationFailed(errors=[FieldError("n_splits", "FOLD_TOO_SHORT", detail)])


def _check_groups(count: int, cpcv: Mapping[str, int] | None) -> None:
    if cpcv is not None and count // cpcv["groups"] < FOLD_BARS:
        detail = f"The period has {count} bars; each of {cpcv['groups']} groups needs at least {FOLD_BARS}."
        raise ValidationFailed(errors=[FieldError("cpcv/groups", "FOLD_TOO_SHORT", detail)])


def moment(text: str) -> datetime:
    """Return a moment of a cleaned request."""
    return datetime.fromisoformat(text)
