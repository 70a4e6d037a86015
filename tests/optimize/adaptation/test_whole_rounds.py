"""Rounds with nothing left out: real bars, the real comparison, a real worker's way, and what the ledger has of it."""

import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import pytest

from optimize import watchdog
from optimize.adaptation import comparing, rounds
from optimize.adaptation.kind import AdaptationSearch
from optimize.adaptation.models import AdaptationEvent
from optimize.carrying import carry
from optimize.errors import LeaseLost
from optimize.models import OptimizationChunk, OptimizationJob, TrialRecord
from optimize.work import kinds
from tests.optimize.adaptation.conftest import Desk
from tests.support.desk import ROOT
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db


@pytest.fixture
def whole(desk: Desk, warmed: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setitem(kinds._items, AdaptationSearch.slug, AdaptationSearch())
    return desk


def test_a_round_on_a_walk_tells_its_evidence_and_enters_the_ledger(whole: Desk) -> None:
    adaptation = whole.start(mode="auto", trailing_window=300)
    row = whole.begin(adaptation)
    job = whole.carry(row)
    assert job.status == "complete", job.error_detail
    assert job.done_combinations == job.total_combinations == 6
    rounds.settle()
    event = AdaptationEvent.objects.get()
    assert event.code in ("LIVE_IS_BEST", "NOT_PROVED", "TOO_FEW_TRADES", "BETTER")
    assert event.message
    assert event.evidence["searched"] == 5
    assert event.evidence["series"] == {
        "symbols": ["ACME"], "timeframe": "1d", "source": None, "adjustment": None,
    }  # fmt: skip
    tried = TrialRecord.objects.get(job_id=job.pk)
    assert (tried.count, tried.strategy_type, tried.timeframe) == (6, "sma_crossover", "1d")
    assert (tried.symbols, tried.start, tried.end) == (["ACME"], row.bar_time - timedelta(days=299), row.bar_time)


def test_a_worker_that_dies_in_the_middle_leaves_a_round_that_ends_as_if_it_had_not(
    whole: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    adaptation = whole.start(mode="suggest", trailing_window=300)
    undisturbed = whole.carry(whole.begin(adaptation)).result
    rounds.settle()

    row, propose = whole.begin(adaptation), comparing.propose
    seen: list[int] = []

    def dies(*args: Any, progress: Any, **kwargs: Any) -> Any:
        def then_die(done: int) -> None:
            seen.append(done)
            # As a killed process leaves it: claimed, and its lease runs out.
            OptimizationChunk.objects.filter(job_id=row.job_id).update(lease_until=utcnow() - timedelta(seconds=1))
            raise LeaseLost("killed")

        return propose(*args, progress=then_die, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(comparing, "propose", dies)
        carry(row.job_id, "dies", until=time.monotonic())
    assert seen
    assert OptimizationJob.objects.get(pk=row.job_id).status in ("queued", "running")
    assert rounds.settle() == 0
    assert watchdog.tick() == 1
    assert whole.carry(row).result == undisturbed
    assert rounds.settle() == 1
    assert AdaptationEvent.objects.filter(round_id=row.pk).count() == 1
    assert OptimizationChunk.objects.get(job_id=row.job_id).attempts == 2


def test_a_round_is_planned_without_the_compiler() -> None:
    code = (
        "import os, sys; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings';"
        "import django; django.setup();"
        "from optimize.adaptation import asking, rounds; from optimize.services import live_start;"
        "from workflows.strategies import strategy_types;"
        "from optimize.adaptation.candidates import candidates;"
        "candidates(strategy_types.get('sma_crossover'), {'fast': 10, 'slow': 40}, None, 20.0);"
        "asking.folds_of(1000, 200); asking.check_work(10, 1000, 200, 1);"
        "print([name for name in ('numba', 'scipy', 'optuna', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
