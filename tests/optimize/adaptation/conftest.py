"""A desk with a market, a strategy whose averages can be moved, and rounds that find what a test says."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from optimize.adaptation import rounds
from optimize.adaptation.kind import AdaptationSearch
from optimize.adaptation.models import AdaptationEvent, AdaptationRound, AdaptationWatch, LiveAdaptation
from optimize.carrying import carry
from optimize.models import OptimizationJob
from optimize.services import live_run, live_start, live_stop
from optimize.services.taking import live_params
from optimize.work import Gathering, Outcome, Piece, kinds
from tests.portfolio.conftest import Prices, prices
from tradingsite.common.actor import Actor
from tradingsite.common.models import LiveEvent
from workflows.models import Strategy
from workflows.services import strategy_create, strategy_update, workflow_create

__all__ = ["prices"]

PROMISE = {"mean": 0.0, "deviation": 0.01, "width": 3.0, "level": 0.05, "bars": 60, "drawdown": -0.1}
SPACE = {"fast": [8, 10, 12], "slow": [30, 40]}
LIVE = {"fast": 10, "slow": 40}
BETTER = {"fast": 12, "slow": 40}


def walk_rows(count: int, seed: int = 1) -> list[tuple[float, float, float, float]]:
    """Return daily prices that wander."""
    close = 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, count)))
    before = np.concatenate(([100.0], close[:-1]))
    return [(float(o), float(max(o, c)), float(min(o, c)), float(c)) for o, c in zip(before, close, strict=True)]


@dataclass
class Finding(AdaptationSearch):
    """A round that finds what it was told, at once; `during` is called while it is at work."""

    params: dict[str, Any] | None = None
    promise: dict[str, Any] | None = field(default_factory=lambda: dict(PROMISE))
    during: Callable[[Piece], None] = lambda piece: None
    ran: int = 0

    def run(self, piece: Piece) -> bytes:
        self.ran += 1
        self.during(piece)
        found = self.params is not None
        return json.dumps(
            {
                "params": self.params,
                "code": "BETTER" if found else "LIVE_IS_BEST",
                "text": "It is better." if found else "Nothing is better.",
                "evidence": {"searched": piece.last},
                "promise": self.promise if found else None,
            }
        ).encode()

    def gather(self, gathering: Gathering) -> Outcome:
        ((_, _, content),) = gathering.results()
        return Outcome(result=json.loads(content))


class Desk:
    """A strategy that may be adapted, and what workers and duties do, called by hand."""

    def __init__(self, actor: Actor, finding: Finding) -> None:
        self.actor, self.finding = actor, finding
        workflow = workflow_create(
            actor=actor,
            name="Averages",
            type="custom",
            steps=[
                {"name": "prices", "type": "market_data", "config": {"timeframe": "1d", "lookback": 300}},
                {
                    "name": "signal",
                    "type": "signal",
                    "config": {"strategy_type": "sma_crossover", "params": {"fast": "$quick", "slow": "$slow"}},
                },
            ],
            default_params={"quick": LIVE["fast"], "slow": LIVE["slow"]},
        )
        self.strategy = strategy_create(actor=actor, name="Mine", workflow_id=workflow.pk, symbols=["ACME"])

    def said(self, **changes: Any) -> dict[str, Any]:
        return {
            "strategy_id": self.strategy.pk,
            "trailing_window": 160,
            "schedule": "0 22 * * *",
            "max_param_change_pct": 50.0,
            "search_space": SPACE,
            **changes,
        }

    def start(self, **changes: Any) -> LiveAdaptation:
        return live_start(actor=changes.pop("actor", self.actor), **self.said(**changes))

    def stop(self, adaptation: LiveAdaptation) -> LiveAdaptation:
        return live_stop(actor=self.actor, adaptation=adaptation)

    def begin(self, adaptation: LiveAdaptation) -> AdaptationRound:
        return live_run(actor=self.actor, adaptation=adaptation)

    def carry(self, row: AdaptationRound) -> OptimizationJob:
        """Do what workers do with the round."""
        carry(row.job_id, "tests", until=time.monotonic() + 60)
        return OptimizationJob.objects.get(pk=row.job_id)

    def round(self, adaptation: LiveAdaptation, params: dict[str, Any] | None = None) -> AdaptationEvent:
        """Have a round find `params`, and return its event."""
        self.finding.params = params
        row = self.begin(adaptation)
        self.carry(row)
        assert rounds.settle() == 1
        return AdaptationEvent.objects.get(round_id=row.pk)

    def params(self) -> dict[str, Any]:
        """Return by what the strategy decides now."""
        return live_params(self.again()).params

    def again(self) -> Strategy:
        found: Strategy = Strategy.objects.select_related("workflow__current_version").get(pk=self.strategy.pk)
        return found

    def set(self, **param: Any) -> None:
        """Change the strategy's parameters as a person does."""
        strategy_update(actor=self.actor, strategy_id=self.strategy.pk, changes={"param": param})

    def events(self, adaptation: LiveAdaptation) -> list[tuple[int, str, int | None]]:
        rows = AdaptationEvent.objects.filter(adaptation=adaptation).order_by("number")
        return list(rows.values_list("number", "status", "about"))

    def watches(self, adaptation: LiveAdaptation) -> list[tuple[int, bool, str]]:
        rows = AdaptationWatch.objects.filter(adaptation=adaptation).order_by("event_number")
        return list(rows.values_list("event_number", "applied", "status"))

    def told(self, kind: str) -> list[dict[str, Any]]:
        rows = LiveEvent.objects.filter(stream=f"optimize:{self.actor.user_id}", type=kind).order_by("seq")
        return list(rows.values_list("data", flat=True))


@pytest.fixture
def finding(monkeypatch: pytest.MonkeyPatch) -> Finding:
    found = Finding()
    monkeypatch.setitem(kinds._items, AdaptationSearch.slug, found)
    return found


@pytest.fixture
def desk(actor: Actor, prices: Prices, finding: Finding) -> Desk:
    """ACME wandered for 400 days; the strategy crosses averages of 10 and 40 of them."""
    prices.series("ACME", walk_rows(400))
    return Desk(actor, finding)
