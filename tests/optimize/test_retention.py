"""What ended optimisations leave is cleared away in time, and what anything rests on never is."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from rest_framework.test import APIClient

from market import store
from market.services import bars_import_source
from optimize.carrying import carry
from optimize.modelling import files
from optimize.models import OptimizationChunk, OptimizationJob, TrialRecord, TunedModel
from tests.optimize.conftest import Counting
from tests.optimize.test_applying import PRICES, apply, job_of, signal
from tests.optimize.test_applying import strategy as strategy
from tradingsite.common import housekeeping
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from workflows.models import Strategy, Workflow
from workflows.services import strategy_create, strategy_delete, workflow_create

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]
Ask = Callable[..., OptimizationJob]
DESK = Actor.system("tests")
GONE = "0190a0b0-0000-7000-8000-000000000009"


@pytest.fixture(autouse=True)
def _store(data_dir: Path) -> None:
    files.forget()


def aged(job: OptimizationJob, **ago: float) -> OptimizationJob:
    """Let a job have ended so long ago."""
    OptimizationJob.objects.filter(pk=job.pk).update(completed_at=utcnow() - timedelta(**ago))
    return job


def made(content: bytes = b"a model", *, days: float = 400, job: OptimizationJob | None = None) -> TunedModel:
    """Write a model that is so many days old, with its file."""
    row = TunedModel.objects.create(
        name="A model",
        job=job,
        model_type="logistic",
        digest=files.write(content),
        size=len(content),
        fingerprint="f" * 64,
        trained_from=utcnow(),
        trained_until=utcnow(),
        warm_up=0,
    )
    TunedModel.objects.filter(pk=row.pk).update(created_at=utcnow() - timedelta(days=days))
    written(files.path_of(row.digest), days=days)
    return row


def written(path: Path, *, days: float) -> Path:
    """Let a file have been written so many days ago."""
    moment = time.time() - days * 86_400
    os.utime(path, (moment, moment))
    return path


def there(row: TunedModel) -> tuple[bool, bool]:
    """Whether the row is there, and whether its file is."""
    return TunedModel.objects.filter(pk=row.pk).exists(), files.path_of(row.digest).exists()


# ---------------------------------------------------------------------------------------------------------- tables


def test_the_table_of_a_search_goes_after_its_days_and_its_answer_stays(
    api: Api, data_dir: Path, warmed: None, settings: Any
) -> None:
    settings.OPTIMIZE_TABLES_KEPT_DAYS = 10
    store.cache_clear()
    bars_import_source(actor=DESK, source="sample")
    client = api("trader")
    body = {"strategy_type": "momentum", "symbols": ["MSFT"], "start": "2005-01-01", "end": "2009-12-31"}
    answer = client.post("/api/optimize/strategy", body, format="json").json()
    job = OptimizationJob.objects.get(pk=answer["job_id"])
    carry(job.pk, "tests", until=time.monotonic() + 60)
    address = f"/api/optimize/{job.pk}"
    aged(job, days=9)
    assert housekeeping.prune()["optimization_chunk"] == 0
    assert client.get(f"{address}/matrix").status_code == 200
    aged(job, days=11)
    assert housekeeping.prune()["optimization_chunk"] == 1
    for path in ("matrix", "matrix.csv"):
        refused = client.get(f"{address}/{path}")
        assert (refused.status_code, refused.json()["code"]) == (409, "OPTIMIZATION_WITHOUT_RESULT")
        assert "10 days" in refused.json()["detail"]
    assert len(client.get(address).json()["results"]) == 18


@pytest.mark.parametrize("kind", ["model", "lookahead"])
def test_what_no_table_is_made_of_goes_a_day_after_the_end(ask: Ask, kind: str) -> None:
    job = ask(10, 3)
    carry(job.pk, "tests", until=time.monotonic() + 60)
    OptimizationJob.objects.filter(pk=job.pk).update(kind=kind)
    aged(job, hours=23)
    assert housekeeping.prune()["optimization_chunk"] == 0
    aged(job, hours=25)
    assert housekeeping.prune()["optimization_chunk"] == 5
    assert OptimizationJob.objects.get(pk=job.pk).result == {"sum": 45, "count": 10, "whole": True}


def test_a_job_that_is_not_over_loses_nothing_however_old_it_is(api: Api, ask: Ask) -> None:
    running, cancelled = ask(10, 3), ask(10, 3)
    for job in (running, cancelled):
        carry(job.pk, "tests", until=time.monotonic())
    OptimizationJob.objects.filter(pk=running.pk).update(created_at=utcnow() - timedelta(days=900))
    assert api("trader").delete(f"/api/optimize/{cancelled.pk}").status_code == 200
    aged(cancelled, days=900)
    found = housekeeping.prune()
    assert (found["optimization_chunk"], found["optimization_job"]) == (0, 0), "what was done is still to be gathered"
    for job in (running, cancelled):
        carry(job.pk, "tests", until=time.monotonic() + 60)
        job.refresh_from_db()
        assert job.result is not None


# ------------------------------------------------------------------------------------------------------------ jobs


def test_an_ended_job_goes_after_its_days_and_the_ledger_keeps_what_it_tried(
    ask: Ask, trader: Any, settings: Any
) -> None:
    settings.OPTIMIZE_KEPT_DAYS = 100
    old, young = aged(job_of(trader), days=101), aged(job_of(trader), days=99)
    assert housekeeping.prune()["optimization_job"] == 1
    assert list(OptimizationJob.objects.values_list("pk", flat=True)) == [young.pk]
    assert TrialRecord.objects.count() == 2
    assert TrialRecord.objects.filter(job=None).count() == 1
    assert not OptimizationChunk.objects.filter(job_id=old.pk).exists()


def test_a_job_whose_parameters_a_strategy_took_is_never_cleared_away_nor_is_its_table(
    api: Api, trader: Any, strategy: Strategy
) -> None:
    job = job_of(trader)
    OptimizationChunk.objects.create(job=job, index=0, first=0, last=1, status="done", result=b"its table")
    assert apply(api("trader"), job, strategy).status_code == 200
    aged(job, days=5_000)
    found = housekeeping.prune()
    assert (found["optimization_chunk"], found["optimization_job"]) == (0, 0)
    answer = api("trader").get(f"/api/optimize/{job.pk}").json()
    assert answer["applied_at"] is not None


def test_a_refused_taking_keeps_nothing(api: Api, trader: Any, strategy: Strategy) -> None:
    job = job_of(trader, "reject")
    assert apply(api("trader"), job, strategy).status_code == 403
    aged(job, days=5_000)
    assert housekeeping.prune()["optimization_job"] == 1


def test_what_was_taken_before_there_was_a_note_of_it_is_told_by_the_audit(
    api: Api, trader: Any, strategy: Strategy
) -> None:
    taken, other = job_of(trader), job_of(trader)
    assert apply(api("trader"), taken, strategy).status_code == 200
    OptimizationJob.objects.update(applied_at=None)
    import_module("optimize.migrations.0003_what_is_kept").note_what_was_applied(apps, None)
    assert list(OptimizationJob.objects.exclude(applied_at=None)) == [taken]
    assert other.applied_at is None


# ---------------------------------------------------------------------------------------------------------- models


def test_a_model_that_nothing_names_goes_with_its_job_and_its_file(trader: Any) -> None:
    old = made(job=aged(job_of(trader, kind="model"), days=400))
    young = made(b"another", days=300, job=aged(job_of(trader, kind="model"), days=400))
    found = housekeeping.prune()
    assert (found["tuned_model"], found["optimization_job"], found["model_files"]) == (1, 1, 1)
    assert there(old) == (False, False)
    assert there(young) == (True, True), "and its job stays with it"


def named_in_a_strategy(text: str) -> None:
    strategy_create(actor=DESK, name="Inline", symbols=["IBM"], param={"steps": [PRICES, signal()]})
    step = {**signal(), "config": {"strategy_type": "model", "params": {"model": text}}}
    Strategy.objects.update(param={"steps": [PRICES, step]})


def named_in_a_parameter(text: str) -> None:
    named_in_a_strategy(GONE)
    Strategy.objects.update(param={"steps": [PRICES, signal()], "which": text})


def named_in_an_earlier_version_of_a_strategy(text: str) -> None:
    named_in_a_strategy(text)
    strategy = Strategy.objects.get()
    strategy.versions.update(param=strategy.param)
    Strategy.objects.update(param={"steps": [PRICES, signal()]})


def named_in_a_workflow(text: str) -> None:
    workflow_create(actor=DESK, name="By", type="custom", steps=[PRICES, signal()])
    Workflow.objects.update(default_params={"which": text})


def named_in_an_earlier_version(text: str) -> None:
    named_in_a_workflow(text)
    workflow = Workflow.objects.get()
    assert workflow.current_version is not None
    type(workflow.current_version).objects.update(default_params={"which": text})
    Workflow.objects.update(default_params={})


def named_in_a_search_under_way(text: str) -> None:
    OptimizationJob.objects.create(kind="strategy", request={"param_grid": {"model": [text]}})


@pytest.mark.parametrize(
    "named",
    [
        named_in_a_strategy,
        named_in_a_parameter,
        named_in_an_earlier_version_of_a_strategy,
        named_in_a_workflow,
        named_in_an_earlier_version,
        named_in_a_search_under_way,
    ],
)
@pytest.mark.parametrize("spelt", [str, lambda pk: str(pk).upper(), lambda pk: pk.hex])
def test_a_model_that_is_named_is_never_cleared_away_however_it_is_spelt(
    named: Callable[[str], None], spelt: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = made()
    named(spelt(row.pk))
    assert housekeeping.prune()["tuned_model"] == 0
    assert there(row) == (True, True)


def test_a_model_whose_strategy_was_deleted_goes() -> None:
    row = made()
    named_in_a_strategy(str(row.pk))
    strategy_delete(actor=DESK, strategy_id=Strategy.objects.get().pk)
    assert housekeeping.prune()["tuned_model"] == 1


def test_a_model_that_comes_into_use_while_it_is_cleared_away_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    row = made()
    looks = iter([False, True])
    monkeypatch.setattr("optimize.retention.model_used", lambda pk: next(looks))
    assert housekeeping.prune()["tuned_model"] == 0
    assert there(row) == (True, True)


# ----------------------------------------------------------------------------------------------------------- files


def test_a_file_without_a_model_goes_after_a_day_and_one_that_a_model_shares_stays() -> None:
    shared = made(b"shared", days=10)
    orphan = files.path_of(files.write(b"nobody's"))
    half = orphan.parent / ".writing-x.tmp"
    half.write_bytes(b"ha")
    assert housekeeping.prune()["model_files"] == 0, "a row may be about to name them"
    for path in (orphan, half):
        written(path, days=2)
    assert housekeeping.prune()["model_files"] == 2
    assert not orphan.exists()
    assert not half.exists()
    assert there(shared) == (True, True)


def test_a_desk_without_models_has_nothing_to_clear_away(counting: Counting) -> None:
    assert housekeeping.prune()["model_files"] == 0
