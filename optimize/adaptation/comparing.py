"""A round at work: the pinned bars loaded, its candidates compared, and what that came to.

Loads what computes: import it in workers alone.
"""

import json
from typing import Any

from market.bars import to_ns
from optimize import data, engine, trials
from optimize.adaptation.candidates import candidates
from optimize.adaptation.proposing import Plan, Searched, propose
from optimize.models import TrialRecord
from optimize.walkforward.asking import moment
from optimize.work import Asked, Gathering, Outcome, Piece
from workflows.strategies import strategy_types


def run(piece: Piece) -> bytes:
    """Compare all candidates of a round, and return what is proposed, with what the ledger keeps of it."""
    asked = piece.asked
    request = asked.request
    start, end = moment(request["start"]), moment(request["end"])
    kind = strategy_types.get(request["strategy_type"])
    found = propose(
        kind,
        candidates(kind, request["live_params"], request["search_space"], request["max_param_change_pct"]),
        data.load(asked.data, start=start, end=end, warm_up=request["warm_up"], check=piece.check),
        start_ns=to_ns(start),
        end_ns=to_ns(end),
        settings=engine.Settings(
            fee=request["costs"]["fee"],
            slippage=request["costs"]["slippage"],
            periods_per_year=request["periods_per_year"],
        ),
        plan=Plan(
            objective=request["objective"],
            n_splits=request["n_splits"],
            watch_bars=request["watch_bars"],
            seed=asked.seed,
        ),
        check=piece.check,
        progress=lambda done: piece.progress(done, 0),
    )
    return json.dumps({"proposal": found.as_dict(), "searched": found.searched.as_dict()}).encode()


def gather(gathering: Gathering) -> Outcome:
    """Return what a round came to: the proposal, and what was tried for it."""
    ((_, _, content),) = gathering.results()
    found = json.loads(content)
    return Outcome(result=found["proposal"], trials=_ledger(gathering.asked, Searched.of(found["searched"])))


def _ledger(asked: Asked, searched: Searched) -> TrialRecord:
    request: Any = asked.request
    return trials.record(
        strategy_type=request["strategy_type"],
        symbols=request["symbols"],
        timeframe=request["timeframe"],
        source=request["source"],
        start=moment(request["start"]),
        end=moment(request["end"]),
        folds=searched.folds,
        hashes=searched.hashes,
        ratios=searched.ratios,
        periods=searched.periods,
    )
