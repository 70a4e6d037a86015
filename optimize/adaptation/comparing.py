"""A round at work: the pinned bars loaded, its candidates compared, and what that came to.

Loads what computes: import it in workers alone.
"""

import json
from typing import Any

import numpy as np

from market.bars import to_ns
from optimize import data, engine, trials
from optimize.adaptation.candidates import candidates
from optimize.adaptation.proposing import Plan, propose  # type: ignore[import-not-found]
from optimize.models import TrialRecord
from optimize.walkforward.asking import moment
from optimize.walkforward.grids import hashes
from optimize.words import plain
from optimize.work import Asked, Gathering, Outcome, Piece
from workflows.strategies import strategy_types


def run(piece: Piece) -> bytes:
    """Compare all candidates of a round, and return what is proposed, with what the ledger keeps of it."""
    asked = piece.asked
    request = asked.request
    compared = _candidates(request)
    start, end = moment(request["start"]), moment(request["end"])
    bars = data.load(asked.data, start=start, end=end, warm_up=request["warm_up"], check=piece.check)
    found = propose(
        strategy_types.get(request["strategy_type"]),
        compared,
        bars,
        start_ns=to_ns(start),
        end_ns=to_ns(end),
        settings=engine.Settings(
            fee=request["costs"]["fee"],
            slippage=request["costs"]["slippage"],
            periods_per_year=request["periods_per_year"],
        ),
        plan=_plan(asked),
        check=piece.check,
        progress=piece.progress,
    )
    return json.dumps(plain({"proposal": found.as_dict(), "ratios": found.ratios, "periods": found.periods})).encode()


def gather(gathering: Gathering) -> Outcome:
    """Return what a round came to: the proposal, and what was tried for it."""
    ((_, _, content),) = gathering.results()
    found = json.loads(content)
    return Outcome(result=found["proposal"], trials=_ledger(gathering.asked, found))


# What can be chosen beside the parameters, as a search says it: of a round nothing can.
_TRADED = {"direction": "long_only", "stop_loss": None, "take_profit": None}


def _candidates(request: Any) -> list[dict[str, Any]]:
    return candidates(
        strategy_types.get(request["strategy_type"]),
        request["live_params"],
        request["search_space"],
        request["max_param_change_pct"],
    )


def _plan(asked: Asked) -> Plan:
    request = asked.request
    return Plan(
        objective=request["objective"], n_splits=request["n_splits"], watch_bars=request["watch_bars"], seed=asked.seed
    )


def _ledger(asked: Asked, found: Any) -> TrialRecord:
    request, cut = asked.request, _plan(asked)
    return trials.record(
        strategy_type=request["strategy_type"],
        symbols=request["symbols"],
        timeframe=request["timeframe"],
        source=request["source"],
        start=moment(request["start"]),
        end=moment(request["end"]),
        folds={"n_splits": cut.n_splits, "train_ratio": cut.train_ratio, "anchored": False, "embargo": cut.embargo},
        hashes=hashes(request["strategy_type"], _candidates(request), _TRADED),
        ratios=np.array([np.nan if ratio is None else ratio for ratio in found["ratios"]]),
        periods=found["periods"],
    )
