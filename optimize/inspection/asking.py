"""What the analyses of a strategy type are asked: checked against what there is, every default said."""

import json
import math
from collections.abc import Mapping
from typing import Any

from optimize import data
from optimize.walkforward.grids import Grid, clean_axes, make_grid
from optimize.work import Plan, stretches
from tradingsite.common.clock import rfc3339
from tradingsite.common.errors import FieldError, ValidationFailed
from workflows.strategies import StrategyType, strategy_types

COMBINATIONS_MAX = 500
# Bars times looks at them, of all combinations and symbols: about an hour of one core.
WORK_MAX = 20_000_000_000
# Of one chunk: a few seconds.
CHUNK_WORK = 100_000_000


def type_of(slug: str) -> StrategyType:
    """Return a strategy type.

    Raises:
        ValidationFailed: naming `strategy_type`.
    """
    if slug not in strategy_types:
        known = ", ".join(item.slug for item in strategy_types.all())
        detail = f"There is no such strategy type. Known: {known}."
        raise ValidationFailed(errors=[FieldError("strategy_type", "unknown", detail)])
    return strategy_types.get(slug)


def grid_of(request: Mapping[str, Any]) -> Grid:
    """Return the combinations of a cleaned request."""
    return make_grid(strategy_types.get(request["strategy_type"]), request["param_grid"])


def plan(body: Mapping[str, Any], looks: int, own: Mapping[str, Any]) -> Plan:
    """Return how an analysis would be done, one combination after the other.

    Args:
        body: as `AnalysisSerializer` lets it through.
        looks: how often the bars of a symbol are looked at for one combination, at most.
        own: what this kind of analysis is asked beside.

    Raises:
        ValidationFailed: naming each wrong field.
    """
    kind = type_of(body["strategy_type"])
    errors: list[FieldError] = []
    grid: Grid | None = None
    try:
        grid = make_grid(kind, clean_axes(kind, body.get("param_grid")))
    except ValidationFailed as error:
        errors += error.errors
    if grid is not None:
        errors += [
            FieldError(f"param_grid/{name}", "required", "Has no default; name at least one.")
            for name in kind.references
            if name not in grid.axes
        ]
    if grid is not None and len(grid) > COMBINATIONS_MAX:
        detail = f"These are {len(grid)} combinations, at most {COMBINATIONS_MAX} are looked at. Use fewer values."
        errors.append(FieldError("param_grid", "too_many", detail))
    start, end, symbols = body["start"], body["end"], list(dict.fromkeys(body["symbols"]))
    chosen = None
    if start >= end:
        errors.append(FieldError("end", "invalid", "Must be later than start."))
    else:
        try:
            chosen = data.choose(
                symbols=symbols,
                timeframe=body["timeframe"],
                start=start,
                end=end,
                source=body.get("source"),
                adjustment=body.get("adjustment"),
            )
        except ValidationFailed as error:
            errors += error.errors
    if errors or grid is None or chosen is None:
        raise ValidationFailed(errors=errors)
    bars = sum(chosen.counts)
    if bars * looks * len(grid) > WORK_MAX:
        detail = f"{len(grid)} combinations over {bars} bars, looked at {looks} times each, are too much; use fewer."
        raise ValidationFailed(errors=[FieldError("param_grid", "too_much_work", detail)])
    request = {
        "strategy_type": kind.slug,
        "symbols": symbols,
        "start": rfc3339(start),
        "end": rfc3339(end),
        "timeframe": body["timeframe"],
        "source": chosen.data[0].source,
        "adjustment": body.get("adjustment"),
        "param_grid": {name: list(values) for name, values in grid.axes.items()},
        "warm_up": max(kind.warmup(params) for params in grid.combinations(0, len(grid))),
        **own,
    }
    size = max(1, CHUNK_WORK // max(1, bars * looks))
    return Plan(
        request=request,
        total=len(grid),
        chunks=stretches(len(grid), size),
        data=chosen.data,
        strategy_type=kind.slug,
    )


def packed(rows: list[dict[str, Any]]) -> bytes:
    """Return what a chunk found as JSON; a number that is none as null."""
    return json.dumps(_finite(rows)).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
