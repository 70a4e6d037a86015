"""What a tuning came to: its combinations ranked, how much of the best is luck, and the model that is kept."""

import hashlib
import json
import math
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.bars import from_ns
from market.sources import generated
from optimize import honesty, trials
from optimize.errors import OptimizationFailed
from optimize.learning import artefacts
from optimize.learning.panel import Panel
from optimize.learning.tuning import FIGURES, OBJECTIVES, Scores, final_rounds, in_sample, ranking, train_final
from optimize.modelling import files
from optimize.modelling.asking import STRATEGY_TYPE, Asking, asking_of
from optimize.modelling.chunks import panel_of, unpacked
from optimize.models import TrialRecord, TunedModel
from optimize.services.models import model_save
from optimize.words import plain
from optimize.work import Asked, Gathering, Outcome
from tradingsite.common.clock import rfc3339

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TOP = 200
CURVE_POINTS = 500
SHOWN_MAPS = 6
_DISTRIBUTIONS = {"xgboost": "xgboost-cpu", "lightgbm": "lightgbm", "sklearn": "scikit-learn"}


def gather(gathering: Gathering) -> Outcome:
    """Rank everything that was scored, judge the best, and train and keep it when the job was not cancelled.

    Raises:
        OptimizationFailed: nothing was scored.
    """
    asked, check = gathering.asked, gathering.check
    asking = asking_of(asked)
    numbers, parts = [], []
    for first, last, content in gathering.results():
        check()
        numbers += list(range(first, last))
        parts.append(content)
    if not parts:
        raise OptimizationFailed("No combination was scored to the end.", code="NOTHING_EVALUATED")
    scores = unpacked(parts)
    del parts
    order = ranking(scores, asking.objective)
    search = _search(asking, numbers, scores)
    around = _sensitivity(asking, search, scores)
    ledger = _ledger(asked, asking, numbers, scores)
    past = trials.tried(ledger, asked.created_at)
    check()
    judged = honesty.assess(
        search,
        lambda place: scores.returns[place],
        trials=past.count,
        others=past.others,
        gate=honesty.Gate.clean(asked.request["gate"]),
        # The plateau before the peak: it changes less when the market does.
        candidate=int(order[0]) if around is None else around.recommended.combination,
        holding=scores.holding,
        generated=generated(pinned.source for pinned in asked.data),
        check=check,
    )
    best = judged.candidate if math.isfinite(scores.whole[asking.objective][judged.candidate]) else None
    stitched = np.zeros(0) if best is None else scores.returns[best]
    bands = honesty.bands(stitched, seed=asked.seed, check=check)
    result: dict[str, Any] = {
        "results": [_row(rank, asking, numbers, scores, int(place)) for rank, place in enumerate(order[:TOP], 1)],
        "best_params": None if best is None else dict(asking.combinations[numbers[best]]),
        "best_because": None if around is None else around.text,
        "folds": _folds(asking, numbers, scores, judged.walk_forward),
        "verdict": judged.verdict.as_dict(),
        "evaluated": len(numbers),
        "partial": not gathering.whole,
        "objective": asking.objective,
        "walk_forward": _walked(judged.walk_forward, scores, math.sqrt(asking.tuning.periods_per_year)),
        "out_of_sample": {"t_stat": None if best is None else judged.t[best], "curve": _curve(scores.axis, stitched)},
        "deflated_sharpe": judged.deflated.as_dict(),
        "overfitting": None if judged.overfitting is None else judged.overfitting.as_dict(),
        "monte_carlo": None if bands is None else bands.as_dict(),
        "sensitivity": None if around is None else around.as_dict(),
        "model": None,
    }
    if best is not None and gathering.whole:
        kept, seen = _kept(gathering, asking, numbers[best], scores, best, judged.verdict.outcome)
        result["model"], result["in_sample"] = kept, seen
    return Outcome(
        result=plain(result),
        best_sharpe=None if best is None else plain(float(scores.whole["sharpe"][best])),
        verdict=judged.verdict.outcome,
        trials=ledger,
    )


def _row(rank: int, asking: Asking, numbers: list[int], scores: Scores, place: int) -> dict[str, Any]:
    return {
        "rank": rank,
        "params": dict(asking.combinations[numbers[place]]),
        **{name: scores.whole[name][place] for name in FIGURES},
        "folds": [
            {
                "fold": fold + 1,
                "rounds": scores.rounds[place, fold],
                **{name: scores.folds[name][place, fold] for name in FIGURES},
            }
            for fold in range(scores.rounds.shape[1])
        ],
    }


def _search(asking: Asking, numbers: list[int], scores: Scores) -> honesty.Search:
    """Return the tuning as a search that can be put to the test.

    What a model earns on rows that it was trained on says nothing. So the past by which a fold could have chosen are the
    tests of the folds before, where each model was out of sample as well; the first fold has none.
    """
    combinations = [asking.combinations[number] for number in numbers]
    names = [name for name in combinations[0] if len({params[name] for params in combinations}) > 1]
    varied = [{name: params[name] for name in names} for params in combinations]
    known = {parameter.name: parameter for parameter in asking.family.parameters}
    limits = {name: (known[name].minimum, known[name].maximum) for name in names}
    counts, totals, squares = _sums(scores.returns, _edges(scores))
    before = honesty.Sums(_earlier(counts), _earlier(totals), _earlier(squares))
    blocks = honesty.blocks_for(scores.returns.shape[1])
    never = np.zeros(totals.shape, dtype=np.bool_)  # long without credit: a price would have to go to nothing
    return honesty.Search(
        axes=honesty.axes_of(varied, limits) if names else (),
        combinations=varied,
        in_sample=before,
        out_of_sample=honesty.Sums(counts, totals, squares),
        blocks=honesty.Sums(*honesty.block_sums(scores.returns, blocks)) if blocks else None,
        trades=np.nan_to_num(scores.whole["trades"]).astype(np.int64),
        ruined_in=never,
        ruined_out=never,
    )


def _edges(scores: Scores) -> list[int]:
    folds = scores.rounds.shape[1]
    return [len(scores.axis) * fold // folds for fold in range(folds + 1)]


def _sums(returns: FloatArray, edges: list[int]) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return n[part], and sum and sum of squares of the returns, [combination, part]."""
    starts = np.array(edges[:-1])
    return np.diff(edges), np.add.reduceat(returns, starts, axis=1), np.add.reduceat(returns**2, starts, axis=1)


def _earlier(values: NDArray[Any]) -> NDArray[Any]:
    """Return, for each part, the sum over the parts before it."""
    summed: NDArray[Any] = np.cumsum(values, axis=-1) - values
    return summed


def _sensitivity(asking: Asking, search: honesty.Search, scores: Scores) -> honesty.Sensitivity | None:
    if not search.axes:
        return None
    values = scores.whole[asking.objective]
    if not OBJECTIVES[asking.objective]:
        values = -values
    return honesty.sensitivity(search.axes, search.combinations, values, most_maps=SHOWN_MAPS)


def _ledger(asked: Asked, asking: Asking, numbers: list[int], scores: Scores) -> TrialRecord:
    request = asked.request
    # Other features, labels or signals make another trial of the same parameters.
    rest = {name: request[name] for name in ("model_type", "feature_config", "label_config", "signal", "uniqueness")}
    hashes = [
        int.from_bytes(
            hashlib.sha256(json.dumps([rest, dict(asking.combinations[number])], sort_keys=True).encode()).digest()[:8],
            "little",
        )
        for number in numbers
    ]
    return trials.record(
        strategy_type=STRATEGY_TYPE,
        symbols=request["symbols"],
        timeframe=request["timeframe"],
        source=request["source"],
        start=asking.start,
        end=asking.end,
        folds=request["folds"],
        hashes=np.array(hashes, dtype=np.uint64),
        ratios=scores.whole["sharpe"] / math.sqrt(asking.tuning.periods_per_year),
        periods=scores.returns.shape[1],
    )


def _folds(asking: Asking, numbers: list[int], scores: Scores, walked: honesty.WalkForward) -> list[dict[str, Any]]:
    """Return what each fold would have chosen by the tests before it, and what became of that; the first chose nothing."""
    edges = _edges(scores)
    found: list[dict[str, Any]] = []
    for fold, said in enumerate(walked.folds):
        place = said.chosen
        found.append(
            {
                "fold": fold + 1,
                "test_start": rfc3339(from_ns(int(scores.axis[edges[fold]]))),
                "test_end": rfc3339(from_ns(int(scores.axis[edges[fold + 1] - 1]))),
                "params": None if place is None else dict(asking.combinations[numbers[place]]),
                **{name: None if place is None else scores.folds[name][place, fold] for name in FIGURES},
                "degradation": said.degradation,
                "rank": said.rank,
            }
        )
    return found


def _walked(walked: honesty.WalkForward, scores: Scores, yearly: float) -> dict[str, Any]:
    """Return what choosing by the tests before came to, test after test: the curve that nobody could have fitted."""
    edges = _edges(scores)
    taken = [(fold, said.chosen) for fold, said in enumerate(walked.folds) if said.chosen is not None]
    parts = [scores.returns[place, edges[fold] : edges[fold + 1]] for fold, place in taken]
    times = [scores.axis[edges[fold] : edges[fold + 1]] for fold, _ in taken]
    returns = np.concatenate(parts) if parts else np.zeros(0)
    figures = honesty.moments(returns)
    return {
        "efficiency": walked.efficiency,
        "profitable_folds": walked.profitable,
        "rank_correlation": walked.correlation,
        "t_stat": figures.t,
        "sharpe": None if figures.sharpe is None else figures.sharpe * yearly,
        "total_return": float(np.prod(1 + returns) - 1),
        "curve": _curve(np.concatenate(times) if times else np.zeros(0, np.int64), returns),
    }


def _curve(axis: IntArray, returns: FloatArray) -> list[dict[str, Any]]:
    """Return the equity along the returns, of 1 at the start, thinned evenly to the last one."""
    equity = np.cumprod(1 + returns)
    if not equity.size:
        return []
    places = np.unique(np.linspace(0, equity.size - 1, min(CURVE_POINTS, equity.size)).round().astype(np.int64))
    return [{"at": rfc3339(from_ns(int(axis[at]))), "equity": float(equity[at])} for at in places]


def _kept(
    gathering: Gathering, asking: Asking, number: int, scores: Scores, place: int, verdict: str
) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Train on all rows with the chosen parameters and keep the model; return what the answer says of it."""
    asked, check = gathering.asked, gathering.check
    panel = panel_of(asking, asked, check)
    params = asking.combinations[number]
    rounds = final_rounds(asking.tuning, params, scores.rounds[place].tolist())
    seen = in_sample(panel, asking.tuning, params, check=check)
    fitted = train_final(panel, asking.tuning, params, rounds, check=check)
    content = artefacts.dump(_description(asked, asking, panel, params, rounds), fitted.arrays(rounds))
    check()
    model = model_save(
        job_id=asked.job_id,
        name=str(asked.request["name"]),
        digest=files.write(content),
        size=len(content),
        model=artefacts.load(content),
        verdict=verdict,
        figures=plain({name: scores.whole[name][place] for name in FIGURES}),
    )
    return _shown(model), seen


def _shown(model: TunedModel) -> dict[str, Any]:
    return {
        "id": str(model.pk),
        "name": model.name,
        "digest": model.digest,
        "rounds": model.description["rounds"],
        "trained_from": rfc3339(model.trained_from),
        "trained_until": rfc3339(model.trained_until),
        "features": model.description["features"],
    }


def _description(asked: Asked, asking: Asking, panel: Panel, params: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    library = _DISTRIBUTIONS[asking.family.library]
    return {
        "model_type": asking.family.slug,
        "params": dict(params),
        "rounds": rounds,
        "seed": asked.seed,
        "feature_config": asking.features.as_json(),
        "features": list(asking.features.names),
        "label_config": asking.labels.as_json(),
        "signal": asking.tuning.signal.as_json(),
        "symbols": [pinned.symbol for pinned in asked.data],
        "timeframe": str(asked.request["timeframe"]),
        "data": [pinned.as_json() for pinned in asked.data],
        "rows": int(panel.labelled.sum()),
        "versions": {name: metadata.version(name) for name in ("numpy", library)},
        "trained_from_ns": int(panel.axis[0]),
        # Not only the rows: the parameters were chosen by returns to the end of the period.
        "trained_until_ns": int(panel.axis[-1]),
    }
