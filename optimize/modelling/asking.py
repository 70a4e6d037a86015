"""What a tuning is asked: its body checked against what there is, every default said, and cut into chunks."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypeVar

from optimize import data
from optimize.honesty import Gate
from optimize.learning.errors import ModelDataInsufficient
from optimize.learning.families import Combination, Family, combinations, family_get
from optimize.learning.features import FeatureConfig, feature_config
from optimize.learning.folds import FoldConfig, fold_config, walk_forward
from optimize.learning.labels import LabelConfig, label_config
from optimize.learning.trading import SignalConfig, signal_config
from optimize.learning.tuning import OBJECTIVES, default_patience
from optimize.learning.tuning import Plan as Tuning
from optimize.work import Asked, Plan, stretches
from tradingsite.common.clock import rfc3339
from tradingsite.common.errors import FieldError, ValidationFailed

# What the ledger counts trials under: all kinds of models together, since all were fitted to the same prices.
STRATEGY_TYPE = "model"
# One chunk: rows times folds times rounds of boosting, about two seconds of one core.
CHUNK_WORK = 20_000_000
# All chunks: a few hours of one core.
WORK_MAX = 100_000_000_000
# Out-of-sample returns that are gathered at once: 8 bytes each.
RETURNS_MAX = 20_000_000
# The work of a combination without rounds.
ROUNDS_WITHOUT = 50
T = TypeVar("T")


@dataclass(frozen=True)
class Asking:
    """A cleaned request, read back.

    Attributes:
        objective: what combinations are ranked by; one of OBJECTIVES.
        periods_per_year: bars in a year.
    """

    family: Family
    combinations: tuple[Combination, ...]
    features: FeatureConfig
    labels: LabelConfig
    tuning: Tuning
    objective: str
    start: datetime
    end: datetime


def plan(body: Mapping[str, Any]) -> Plan:
    """Return how a tuning would be done.

    Args:
        body: as `OptimizeModelSerializer` lets it through.

    Raises:
        ValidationFailed: naming each wrong field.
    """
    family = family_get(body["model_type"])
    errors: list[FieldError] = []
    grid = _tried(errors, lambda: combinations(family, body.get("param_grid")))
    features = _tried(errors, lambda: feature_config(_given(body, "feature_config")))
    labels = _tried(errors, lambda: label_config(_given(body, "label_config")))
    folds = _tried(errors, lambda: fold_config(_given(body, "folds")))
    signal = _tried(errors, lambda: signal_config({**_given(body, "signal"), **body["costs"]}))
    gate = _tried(errors, lambda: Gate.clean(_given(body, "gate")))
    start, end = body["start"], body["end"]
    symbols = list(dict.fromkeys(body["symbols"]))
    if start >= end:
        errors.append(FieldError("end", "invalid", "Must be later than start."))
        raise ValidationFailed(errors=errors)
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
    if errors or grid is None or features is None or labels is None or folds is None or signal is None:
        raise ValidationFailed(errors=errors)
    if chosen is None or gate is None:
        raise ValidationFailed(errors=errors)
    bars, rows = len(chosen.times), sum(chosen.counts)
    try:
        tested = bars - walk_forward(bars, folds)[0].test[0]
    except ModelDataInsufficient as error:
        raise ValidationFailed(errors=[FieldError("folds/n_splits", "FOLD_TOO_SHORT", error.detail)]) from error
    patience = body.get("patience")
    if patience and not family.boosts:
        detail = f"{family.slug} does not boost; more of it is never worse. Leave this out."
        raise ValidationFailed(errors=[FieldError("patience", "invalid", detail)])
    run = _run_length(family, grid)
    per_run = rows * folds.n_splits * (max(int(p[family.rounds]) for p in grid) if family.rounds else ROUNDS_WITHOUT)
    if per_run * (len(grid) // run) > WORK_MAX or len(grid) * tested > RETURNS_MAX:
        detail = f"{len(grid)} combinations over {rows} bars are too much; use fewer of either, or fewer rounds."
        raise ValidationFailed(errors=[FieldError("param_grid", "too_much_work", detail)])
    request = {
        "model_type": family.slug,
        "symbols": symbols,
        "start": rfc3339(start),
        "end": rfc3339(end),
        "timeframe": body["timeframe"],
        "source": chosen.data[0].source,
        "adjustment": body.get("adjustment"),
        "param_grid": None if body.get("param_grid") is None else dict(body["param_grid"]),
        "feature_config": features.as_json(),
        "label_config": labels.as_json(),
        "folds": folds.as_json(),
        "signal": signal.as_json(),
        "objective": body["objective"],
        "patience": default_patience(family, grid) if patience is None else patience,
        "uniqueness": body["uniqueness"],
        "seed": body["seed"],
        "gate": asdict(gate),
        "name": body.get("name") or f"{family.slug} on {', '.join(symbols)}"[:100],
        "periods_per_year": chosen.periods_per_year,
    }
    return Plan(
        request=request,
        total=len(grid),
        chunks=stretches(len(grid), run * max(1, CHUNK_WORK // max(per_run, 1))),
        data=chosen.data,
        n_folds=folds.n_splits,
        strategy_type=STRATEGY_TYPE,
        seed=body["seed"],
    )


def asking_of(asked: Asked) -> Asking:
    """Return what a job was asked, from its cleaned request."""
    request = asked.request
    family = family_get(request["model_type"])
    grid = combinations(family, request["param_grid"])
    signal: SignalConfig = signal_config(request["signal"])
    folds: FoldConfig = fold_config(request["folds"])
    tuning = Tuning(
        family=family,
        combinations=grid,
        folds=folds,
        signal=signal,
        patience=request["patience"],
        weighted=request["uniqueness"],
        seed=asked.seed,
        periods_per_year=request["periods_per_year"],
    )
    return Asking(
        family=family,
        combinations=grid,
        features=feature_config(request["feature_config"]),
        labels=label_config(request["label_config"]),
        tuning=tuning,
        objective=request["objective"],
        start=datetime.fromisoformat(request["start"]),
        end=datetime.fromisoformat(request["end"]),
    )


def objectives() -> tuple[str, ...]:
    """Return what combinations may be ranked by."""
    return tuple(OBJECTIVES)


def _run_length(family: Family, grid: tuple[Combination, ...]) -> int:
    """Return how many combinations one run of training serves; they stand side by side in the grid."""
    return len({params[family.rounds] for params in grid}) if family.rounds else 1


def _given(body: Mapping[str, Any], name: str) -> Any:
    found = body.get(name)
    return {} if found is None else found


def _tried(errors: list[FieldError], what: Callable[[], T]) -> T | None:
    """Return what `what` gives, or None, with its complaints among the errors: all are told at once."""
    try:
        return what()
    except ValidationFailed as error:
        errors.extend(error.errors)
        return None
