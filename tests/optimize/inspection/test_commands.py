"""`manage.py optimize` and `manage.py backtest` in the terminal."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from executions.models import WorkerHeartbeat
from optimize.management import following
from optimize.models import OptimizationJob
from workflows.models import Strategy

PERIOD = ("2003-01-01", "2007-12-31")
SEARCH = ("sma_crossover", "IBM,MSFT", *PERIOD, "--grid", "fast=5,10,20", "slow=40,60", "--splits", "3")


def called(name: str, *words: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(name, *words, stdout=out, **options)
    return out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_a_search_without_workers_is_carried_here_drawn_and_told(sample: None, warmed: None) -> None:
    told = called("optimize", *SEARCH, "--wait", "--fee", "0.001", "--top", "3")
    job = OptimizationJob.objects.get()
    assert job.status == "complete"
    assert "No worker is alive: it is carried here." in told
    assert "6/6" in told
    assert "Sharpe, out" in told
    best = job.result["results"][0]["params"]
    assert ", ".join(f"{name} {value}" for name, value in best.items()) in told
    assert f"Verdict: {job.result['verdict']['outcome']}" in told
    assert all(reason["code"] in told for reason in job.result["verdict"]["reasons"])
    assert job.request["costs"] == {"fee": 0.001, "slippage": 0.0}


@pytest.mark.django_db
def test_without_wait_it_is_left_to_the_workers(sample: None) -> None:
    told = called("optimize", *SEARCH)
    job = OptimizationJob.objects.get()
    assert (job.status, str(job.pk) in told) == ("queued", True)


@pytest.mark.django_db
def test_living_workers_are_left_to_their_work_and_waited_for(sample: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "workers_count", lambda: 1)
    with pytest.raises(CommandError, match="still queued"):
        called("optimize", *SEARCH, "--wait", "--timeout", "0.2")


@pytest.mark.django_db
def test_only_workers_of_the_optimiser_count() -> None:
    assert following.workers_count() == 0
    WorkerHeartbeat.objects.create(name="a", host="h", pid=1, queues=["runs"])
    assert following.workers_count() == 0
    WorkerHeartbeat.objects.create(name="b", host="h", pid=2, queues=["runs", "optimize"])
    assert following.workers_count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("luck", "IBM", *PERIOD), "strategy_type"),
        (("momentum", "NOPE", *PERIOD), "symbols/0"),
        (("momentum", "IBM", *PERIOD, "--grid", "lookback"), "NAME=1,2,3"),
        (("momentum", "IBM", *PERIOD, "--grid", "lookback=fast"), "param_grid/lookback/0"),
        (("momentum", "IBM", "2007-01-01", "soon"), "end"),
    ],
)
def test_a_wrong_word_is_named_and_nothing_is_written(sample: None, words: tuple[str, ...], named: str) -> None:
    with pytest.raises(CommandError, match=named):
        called("optimize", *words)
    assert not OptimizationJob.objects.exists()


@pytest.mark.django_db
def test_a_backtest_is_told_as_a_table_beside_buying_and_holding(
    sample: None, crossing: Callable[..., Strategy]
) -> None:
    strategy = crossing(["IBM", "MSFT"], stop_pct=5.0)
    told = called("backtest", strategy.name, *PERIOD, "--fee", "0.001", "--trades", "2")
    for words in ("IBM", "MSFT", "together", "bought and held", "Sharpe", "in fees", "The deepest fall"):
        assert words in told
    assert called("backtest", str(strategy.pk), *PERIOD, "--symbols", "IBM").count("together") == 0


@pytest.mark.django_db
def test_a_backtest_of_nothing_says_what_is_missing(sample: None, crossing: Callable[..., Strategy]) -> None:
    with pytest.raises(CommandError, match="no strategy"):
        called("backtest", "Nobody", *PERIOD)
    with pytest.raises(CommandError, match="costs/fee"):
        called("backtest", crossing().name, *PERIOD, "--fee", "-1")
