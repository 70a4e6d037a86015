"""A round: noise changes nothing, an edge that is there is found, and nothing of the unseen bars reaches the search."""

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from benchmarks.noise import markets
from benchmarks.noise.markets import DAY_NS, WARM_UP, Cycle
from market.bars import Bars
from optimize import engine
from optimize.adaptation import proposing
from optimize.adaptation.candidates import candidates
from optimize.adaptation.clamping import within
from optimize.adaptation.long_run import long_run
from optimize.adaptation.promising import Promise
from optimize.adaptation.proposing import Plan, Proposal, Searched, propose
from optimize.walkforward.grids import hashes
from workflows.strategies import StrategyType, strategy_types
from workflows.strategies.rules import Value

MOMENTUM = strategy_types.get("momentum")
PLAN = Plan(objective="sharpe", watch_bars=60, seed=1)
FREE = engine.Settings()
SPACE: dict[str, list[Value]] = {"lookback": [2, 3, 4, 5, 6, 8, 10, 12, 15]}


def cycles(seed: int, bars: int = 800, length: int = 32) -> Bars:
    """A price whose drift goes up and down in cycles: who looks back over a quarter of one is right."""
    rng = np.random.default_rng(seed)
    return markets.bars_of(markets.cycles([Cycle(bars + WARM_UP, length, strength=0.9)], rng), "CYCLE", rng)


def asked(
    kind: StrategyType, found: list[dict[str, Value]], bars: list[Bars], settings: Any = FREE, **changes: Any
) -> Proposal:
    given: dict[str, Any] = {
        "start_ns": WARM_UP * DAY_NS, "end_ns": int(bars[0].time[-1]), "settings": settings, "plan": PLAN, **changes,
    }  # fmt: skip
    return propose(kind, found, bars, **given)


def momentum(lookback: int) -> dict[str, Value]:
    return MOMENTUM.clean({"lookback": lookback})


def reach(lookback: int, pct: float = 60) -> list[dict[str, Value]]:
    return candidates(MOMENTUM, momentum(lookback), SPACE, pct)


def test_of_two_hundred_rounds_over_noise_at_most_one_in_twenty_changes_anything() -> None:
    rng = np.random.default_rng(30)
    codes: Counter[str] = Counter()
    # Fast rules, so that none is left out for its few trades, and with no costs, so that trading less is no edge.
    for _ in range(200):
        (bars,) = markets.market(400, 1, rng)
        codes[asked(MOMENTUM, reach(5), [bars]).code] += 1
    assert codes["BETTER"] <= 10
    # The control: it had something to decide.
    assert codes["NOT_PROVED"] > 60


def test_p_values_of_noise_are_no_smaller_than_chance() -> None:
    rng, low = np.random.default_rng(31), 0
    for _ in range(300):
        (bars,) = markets.market(300, 1, rng)
        series = [engine.prepare(bars)]
        axis = engine.make_axis(series, WARM_UP * DAY_NS)
        one, other = engine.returns(
            MOMENTUM, [momentum(8), momentum(3)], series, axis.windows([(0, len(axis))]), axis, FREE
        )
        low += long_run((one.value - other.value)[None]).p[0] <= 0.05
    # A rate of 5 % has at most 22 with a chance of 97 %.
    assert low <= 22


def test_an_edge_that_is_there_is_found_and_promised() -> None:
    found = [asked(MOMENTUM, reach(20), [cycles(seed)]) for seed in range(10)]
    better = [each for each in found if each.code == "BETTER"]
    assert len(better) >= 7
    for each in better:
        assert each.params is not None
        assert each.params["lookback"] in range(1, 20)
        assert within(MOMENTUM, momentum(20), each.params, 60) == []
        assert each.evidence["p_adjusted"] <= 0.05
        assert each.evidence["ahead"] > 0
        assert each.promise is not None
        assert Promise.of(each.promise).bars == 60


def test_what_is_good_already_is_left_alone() -> None:
    assert sum(asked(MOMENTUM, reach(5), [cycles(seed)]).params is not None for seed in range(10)) <= 1


def test_the_search_knows_nothing_of_the_unseen_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever returns the tests have, the same candidate is chosen."""
    seen = []
    real = proposing._Ground.returns

    def changed(self: Any, some: Any) -> Any:
        values, edges = real(self, some)
        tests = values[:, edges[len(self.folds)] :]
        tests[:] = np.random.default_rng(1).normal(0, 0.02, tests.shape)
        return values, edges

    found = reach(20)
    for patched in (False, True):
        if patched:
            monkeypatch.setattr(proposing._Ground, "returns", changed)
        seen.append(asked(MOMENTUM, found, [cycles(3)]).evidence)
    assert seen[0]["chosen"]["params"] == seen[1]["chosen"]["params"]
    assert [each["chosen"] for each in seen[0]["folds"]] == [each["chosen"] for each in seen[1]["folds"]]
    assert seen[0]["p"] != seen[1]["p"]


def test_every_fold_learns_before_it_is_tested() -> None:
    for fold in asked(MOMENTUM, reach(20), [cycles(3)]).evidence["folds"]:
        assert fold["train"]["from"] < fold["train"]["to"] < fold["test"]["from"] < fold["test"]["to"]


def test_what_trades_exactly_alike_is_no_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the search likes it: p is 1."""
    alike = [momentum(20), {**momentum(20), "exit_threshold": -1e-12}]
    monkeypatch.setattr(proposing, "_chosen", lambda *args: 1)
    found = asked(MOMENTUM, alike, [cycles(3)])
    assert (found.code, found.params, found.evidence["p"]) == ("NOT_PROVED", None, 1.0)


def test_many_candidates_make_it_harder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A p of 0.03 is enough alone, and not as the only one among many."""
    bars, found = [cycles(3)], reach(20)
    real = proposing.long_run

    def figures(rows: Any) -> Any:
        answer = real(rows)
        ahead = np.where(np.arange(len(rows)) == 1, 1.0, -1.0)
        return type(answer)(1.9 * ahead, np.full(len(rows), float(answer.bars)), answer.lags, answer.bars)

    monkeypatch.setattr(proposing, "long_run", figures)
    monkeypatch.setattr(proposing, "_chosen", lambda *args: 1)
    assert asked(MOMENTUM, found[:2], bars).code == "BETTER"
    many = asked(MOMENTUM, found, bars)
    assert (many.code, many.params) == ("NOT_PROVED", None)
    assert many.evidence["p_adjusted"] == pytest.approx(many.evidence["p"] * (len(found) - 1))


def test_a_rule_that_never_trades_is_never_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It beats one that loses, but stopping is not what was asked."""
    still = {**momentum(20), "threshold": 1000.0}
    found = asked(MOMENTUM, [momentum(20), still], [cycles(3)])
    assert found.params is None
    assert asked(MOMENTUM, [still, {**still, "lookback": 21}], [cycles(3)]).code == "TOO_FEW_TRADES"
    monkeypatch.setattr(proposing, "_chosen", lambda *args: 1)
    assert asked(MOMENTUM, [momentum(20), still], [cycles(3)]).code == "TOO_FEW_TRADES"


def test_with_nothing_in_reach_it_says_so() -> None:
    found = asked(MOMENTUM, [momentum(20)], [cycles(3)])
    assert (found.code, found.params, found.promise) == ("NOTHING_REACHABLE", None, None)
    assert "max_param_change_pct" in found.text
    assert found.evidence["live"]["trades"] > 0


@pytest.mark.parametrize("objective", proposing.OBJECTIVES)
def test_each_objective_and_several_symbols_give_evidence_that_can_be_kept(objective: str) -> None:
    bars = [cycles(3), cycles(4), cycles(5, bars=400)]
    found = asked(MOMENTUM, reach(20), bars, plan=Plan(objective, 60, 1))
    written = json.dumps(found.as_dict(), allow_nan=False)
    assert len(written) < 20_000
    assert found.evidence["objective"] == objective
    assert len(found.evidence["curve"]["time"]) <= 200
    assert found.text


def test_blocks_threads_of_progress_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer does not depend on how the candidates are cut; each block is told and can be stopped."""
    bars, found = [cycles(3)], reach(20)
    whole = asked(MOMENTUM, found, bars)
    told: list[int] = []
    monkeypatch.setattr(proposing, "_BLOCK_CANDIDATES", 2)
    cut = asked(MOMENTUM, found, bars, progress=told.append)
    assert cut.as_dict() == whole.as_dict()
    assert told == [*range(2, len(found), 2), len(found)]

    def check() -> None:
        if len(told) > 1:
            raise KeyError("stop")

    told.clear()
    with pytest.raises(KeyError):
        asked(MOMENTUM, found, bars, check=check, progress=told.append)
    assert told == [2, 4]


def test_the_ledger_is_told_all_that_was_looked_at() -> None:
    found = reach(20)
    settings = engine.Settings(stop_loss=0.1)
    answer = asked(MOMENTUM, found, [cycles(3)], settings)
    traded: dict[str, Any] = {"direction": "long_only", "stop_loss": 0.1, "take_profit": None}
    assert answer.searched.hashes.tolist() == hashes("momentum", found, traded).tolist()
    assert answer.searched.periods == answer.evidence["unseen_bars"]
    shown = answer.evidence["live"]["sharpe"] / math.sqrt(252)
    assert answer.searched.ratios[0] == pytest.approx(shown)
    again = Searched.of(json.loads(json.dumps(answer.searched.as_dict(), allow_nan=False)))
    assert again.hashes.tolist() == answer.searched.hashes.tolist()
    assert np.array_equal(again.ratios, answer.searched.ratios, equal_nan=True)


def test_what_cannot_be_judged_is_refused() -> None:
    bars = cycles(3)
    with pytest.raises(ValueError, match="candidate"):
        asked(MOMENTUM, [], [bars])
    with pytest.raises(ValueError, match="objective"):
        asked(MOMENTUM, reach(20), [bars], plan=Plan("luck", 60, 1))
    with pytest.raises(ValueError, match="at least 100"):
        asked(MOMENTUM, reach(20), [bars], start_ns=int(bars.time[-99]))


def test_the_long_run_variance_is_that_of_a_known_process() -> None:
    """Of x(t) = e(t) + 0.5·e(t-1) it is 2.25; and what does not vary has none, and proves nothing."""
    noise = np.random.default_rng(2).standard_normal((5, 20_001))
    found = long_run(np.vstack([noise[:, 1:] + 0.5 * noise[:, :-1], np.zeros(20_000), np.full(20_000, 0.1)]))
    assert found.variance[:5] == pytest.approx(np.full(5, 2.25), rel=0.15)
    assert found.variance[5:].tolist() == [0.0, 0.0]
    assert found.p[5:].tolist() == [1.0, 1.0]
    # Returns that take each other back are not taken for surer ones.
    back = long_run(noise[:, 1:] - 0.5 * noise[:, :-1])
    assert back.variance == pytest.approx(np.full(5, 1.25), rel=0.1)
