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
from optimize import honesty, trials
from optimize.learning import artefacts
from optimize.learning.panel import Panel
from optimize.learning.tuning import FIGURES, OBJECTIVES, Scores, final_rounds, in_sample, ranking, train_final
from optimize.modelling import files
from optimize.modelling.asking import STRATEGY_TYPE, Asking, asking_of
from optimize.modelling.chunks import panel_of, unpacked
from optimize.models import TrialRecord, TunedModel
from optimize.services.models import model_save
from optimize.work import Asked, Gathering, Outcome
from tradingsite.common.clock import rfc3339

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TOP = 200
CURVE_POINTS = 500
SHOWN_MAPS = 6
_DISTRIBUTIONS = {"xgboost": "xgboost-cpu", "lightgbm": "lightgbm", "sklearn": "scikit-learn"}


def gather(gathering: Gathering) -> Outcome:
    """Rank everything that was scored, judge the best, and train and keep it when the job was not cancelled."""
    asked, check = gathering.asked, gathering.check
    asking = asking_of(asked)
    numbers, parts = [], []
    for first, last, content in gathering.results():
        check()
        numbers += list(range(first, last))
        parts.append(content)
    if not parts:
        return Outcome({"results": [], "best_params": None, "folds": [], "evaluated": 0, "partial": True})
    scores = unpacked(parts)
    del parts
    order = ranking(scores, asking.objective)
    around = _sensitivity(asking, numbers, scores)
    best = int(order[0]) if math.isfinite(scores.whole[asking.objective][order[0]]) else None
    if best is not None and around is not None:
        best = around.recommended.combination
    check()
    ledger = _ledger(asked, asking, numbers, scores)
    judged = _judged(gathering, scores, best, around, ledger)
    result: dict[str, Any] = {
        "results": [_row(rank, asking, numbers, scores, int(place)) for rank, place in enumerate(order[:TOP], 1)],
        "best_params": None if best is None else dict(asking.combinations[numbers[best]]),
        "evaluated": len(numbers),
        "partial": not gathering.whole,
        "objective": asking.objective,
        "sensitivity": None if around is None else around.as_dict(),
        **judged,
        "model": None,
    }
    if best is not None and gathering.whole:
        kept, seen = _kept(gathering, asking, numbers[best], scores, best, judged["verdict"]["outcome"])
        result["model"], result["in_sample"] = kept, seen
    return Outcome(
        result=plain(result),
        best_sharpe=None if best is None else plain(float(scores.whole["sharpe"][best])),
        verdict=judged["verdict"]["outcome"],
        trials=ledger,
    )


def plain(value: Any) -> Any:
    """Return `value` as JSON has it: NumPy's numbers as Python's, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


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


def _sensitivity(asking: Asking, numbers: list[int], scores: Scores) -> honesty.Sensitivity | None:
    combinations = [asking.combinations[number] for number in numbers]
    names = [name for name in combinations[0] if len({params[name] for params in combinations}) > 1]
    if not names:
        return None
    varied = [{name: params[name] for name in names} for params in combinations]
    known = {parameter.name: parameter for parameter in asking.family.parameters}
    limits = {name: (known[name].minimum, known[name].maximum) for name in names}
    values = scores.whole[asking.objective]
    if not OBJECTIVES[asking.objective]:
        values = -values
    return honesty.sensitivity(honesty.axes_of(varied, limits), varied, values, most_maps=SHOWN_MAPS)


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
        hashes=np.array(hashes, dtype=np.uint64),
        ratios=scores.whole["sharpe"] / math.sqrt(asking.tuning.periods_per_year),
        periods=scores.returns.shape[1],
    )


def _judged(
    gathering: Gathering, scores: Scores, best: int | None, around: honesty.Sensitivity | None, ledger: TrialRecord
) -> dict[str, Any]:
    asked, check = gathering.asked, gathering.check
    past = trials.tried(ledger, asked.created_at)
    own_trials = honesty.Trials(ledger.sharpe_count, ledger.sharpe_mean, ledger.sharpe_squares, ledger.periods)
    count, periods = max(past.count, 1), scores.returns.shape[1]
    blocks = honesty.blocks_for(periods)
    overfit = honesty.overfitting(*honesty.block_sums(scores.returns, blocks), check=check) if blocks else None
    check()
    walked, chosen = _walked(scores)
    returns = scores.returns[best] if best is not None else np.zeros(0)
    figures = honesty.moments(returns)
    deflated = honesty.deflated_sharpe(
        figures, count, honesty.trial_variance([own_trials, *past.others], figures.count)
    )
    bands = honesty.bands(returns, seed=asked.seed, check=check)
    own = None if around is None or best is None else around.recommended
    evidence = honesty.Evidence(
        dsr=deflated.dsr,
        pbo=None if overfit is None else overfit.pbo,
        probability_of_loss=None if overfit is None else overfit.probability_of_loss,
        combinations=len(scores.returns),
        trials=count,
        sharpe=None if best is None else plain(float(scores.whole["sharpe"][best])),
        trades=0 if best is None else int(scores.whole["trades"][best]),
        folds=scores.rounds.shape[1],
        efficiency=walked.efficiency,
        profitable_folds=walked.profitable,
        plateau=None if own is None else own.ratio,
        neighbours=0 if own is None else own.neighbours,
        edges=() if around is None else around.edges,
    )
    verdict = honesty.judge(evidence, honesty.Gate.clean(asked.request["gate"]))
    asking = asking_of(asked)
    return {
        "verdict": verdict.as_dict(),
        "overfitting": None if overfit is None else overfit.as_dict(),
        "deflated_sharpe": {**vars(deflated), "trials": count, "returns": figures.count},
        "monte_carlo": None if bands is None else bands.as_dict(),
        "out_of_sample": {"t_stat": figures.t, "curve": _curve(scores, returns)},
        "walk_forward": {
            "efficiency": walked.efficiency,
            "profitable_folds": walked.profitable,
            "rank_correlation": walked.correlation,
        },
        "folds": _folds(asking, gathering, scores, chosen),
    }


def _walked(scores: Scores) -> tuple[honesty.WalkForward, IntArray]:
    """Return what became of choosing, before each test but the first, the best over the tests until then.

    What a model earned on rows that it was trained on says nothing, so that a fold's past are the earlier folds' tests,
    where it was out of sample as well.
    """
    sharpe = scores.folds["sharpe"]
    known = np.where(np.isfinite(sharpe), sharpe, 0.0)
    before = np.cumsum(known, axis=1)[:, :-1] / np.arange(1, sharpe.shape[1])
    chosen = before.argmax(axis=0).astype(np.int64)
    return honesty.walk_forward(before, sharpe[:, 1:], chosen), chosen


def _folds(asking: Asking, gathering: Gathering, scores: Scores, chosen: IntArray) -> list[dict[str, Any]]:
    numbers = [number for first, last, _ in gathering.results() for number in range(first, last)]
    count = scores.rounds.shape[1]
    edges = [len(scores.axis) * fold // count for fold in range(count + 1)]
    found: list[dict[str, Any]] = []
    for fold in range(count):
        place = int(chosen[fold - 1]) if fold else None
        found.append(
            {
                "fold": fold + 1,
                "test_start": rfc3339(from_ns(int(scores.axis[edges[fold]]))),
                "test_end": rfc3339(from_ns(int(scores.axis[edges[fold + 1] - 1]))),
                # Chosen by the tests before; before the first there is none.
                "params": None if place is None else dict(asking.combinations[numbers[place]]),
                **{name: None if place is None else scores.folds[name][place, fold] for name in FIGURES},
            }
        )
    return found


def _curve(scores: Scores, returns: FloatArray) -> list[dict[str, Any]]:
    """Return the equity along the returns, of 1 at the start, thinned evenly to the last one."""
    equity = np.cumprod(1 + returns)
    if not equity.size:
        return []
    places = np.unique(np.linspace(0, equity.size - 1, min(CURVE_POINTS, equity.size)).round().astype(np.int64))
    return [{"at": rfc3339(from_ns(int(scores.axis[at]))), "equity": float(equity[at])} for at in places]


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
