"""Jobs from the asking to the end: chunks are carried once, in any order, and gathered when the last one is done."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from optimize.carrying import carry
from optimize.choices import ChunkStatus, JobStatus
from optimize.claims import claim, fenced
from optimize.errors import LeaseLost, OptimizationFailed, OptimizationFinished
from optimize.leases import keeper
from optimize.models import OptimizationChunk, OptimizationJob
from optimize.selectors import results_of
from optimize.services import job_cancel
from optimize.work import CHUNKS_MAX, Piece, stretches
from tests.optimize.conftest import Counting
from tradingsite.common import lifecycle
from tradingsite.common.actor import Actor
from tradingsite.common.errors import PermissionDenied
from tradingsite.common.models import LiveEvent, OutboxMessage

pytestmark = pytest.mark.django_db

Ask = Callable[..., OptimizationJob]


def carried(job: OptimizationJob, *, rounds: float = 60.0) -> OptimizationJob:
    carry(job.pk, "tests", until=time.monotonic() + rounds)
    job.refresh_from_db()
    return job


def statuses(job: OptimizationJob) -> list[str]:
    return list(job.chunks.order_by("index").values_list("status", flat=True))


def test_a_small_job_is_one_chunk_and_ends_with_it(ask: Ask, counting: Counting) -> None:
    job = ask(10, 10)
    assert job.chunks.count() == 1
    assert OutboxMessage.objects.filter(task="optimize.carry").count() == 1

    job = carried(job)

    assert job.status == JobStatus.COMPLETE
    assert job.result == {"sum": 45, "count": 10, "whole": True}
    assert job.progress == {"combo": 10, "total": 10, "fold": 2, "n_folds": 2}
    assert job.best_sharpe == 1.5
    assert counting.ran == [(0, 10)]


def test_a_large_job_is_gathered_once_all_of_its_chunks_are_done(ask: Ask, counting: Counting) -> None:
    job = carried(ask(10, 3))
    assert counting.ran == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert job.result == {"sum": 45, "count": 10, "whole": True}
    assert job.status == JobStatus.COMPLETE
    assert statuses(job) == ["done"] * 5


def test_the_result_does_not_depend_on_how_it_was_cut(ask: Ask) -> None:
    assert {str(carried(ask(100, size)).result) for size in (1, 7, 100)} == {str(carried(ask(100, 9)).result)}


def test_a_round_that_is_over_asks_for_another_pair_of_hands(ask: Ask, counting: Counting) -> None:
    job = ask(10, 3)
    assert carry(job.pk, "tests", until=time.monotonic()) is True
    assert counting.ran == [(0, 3)]
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING
    assert job.progress["combo"] == 3


def test_a_job_whose_first_figures_take_long_is_said_to_run_though_it_has_no_progress(
    ask: Ask, counting: Counting
) -> None:
    job = ask(10, 10)
    seen: list[str] = []

    def during(piece: Piece) -> None:
        (lease,) = keeper._leases.values()
        keeper._keep(lease)
        seen.append(OptimizationJob.objects.get(pk=job.pk).status)

    counting.during = during
    job = carried(job)

    assert seen == [JobStatus.RUNNING]
    assert job.started_at is not None
    assert job.started_at < job.completed_at


def test_a_claimed_chunk_is_not_had_by_another(ask: Ask) -> None:
    job = ask(10, 5)
    first, second = claim(job.pk, "a"), claim(job.pk, "b")
    assert first is not None
    assert second is not None
    assert (first.index, second.index) == (0, 1)
    # The one that gathers waits for both.
    assert claim(job.pk, "c") is None


def test_a_stale_claim_writes_nothing(ask: Ask) -> None:
    job = ask(10, 5)
    held = claim(job.pk, "a")
    assert held is not None
    OptimizationChunk.objects.filter(pk=held.chunk_id).update(fence=held.fence + 1)
    with pytest.raises(LeaseLost), fenced(held, result=b"late"):
        raise AssertionError("the block of a stale claim is entered")
    assert OptimizationChunk.objects.get(pk=held.chunk_id).result is None


def test_what_a_worker_finds_after_it_lost_its_chunk_is_not_counted(ask: Ask, counting: Counting) -> None:
    job = ask(10, 5)

    def lose(piece: Piece) -> None:
        OptimizationChunk.objects.filter(job_id=job.pk, status="running").update(
            status="waiting", fence=connection_fence(job) + 1
        )
        counting.during = lambda piece: None

    counting.during = lose
    job = carried(job)
    assert counting.ran[:2] == [(0, 5), (0, 5)]
    assert job.result == {"sum": 45, "count": 10, "whole": True}
    assert job.done_combinations == 10


def connection_fence(job: OptimizationJob) -> int:
    return int(OptimizationChunk.objects.filter(job=job).order_by("-fence").values_list("fence", flat=True)[0])


def test_a_cancelled_job_says_so_at_once_and_keeps_what_is_done(ask: Ask, actor: Actor) -> None:
    job = ask(10, 3)
    carry(job.pk, "tests", until=time.monotonic())

    cancelled = job_cancel(actor=actor, job=job)

    assert cancelled.status == JobStatus.CANCELLED
    job = carried(job)
    assert job.status == JobStatus.CANCELLED
    assert job.result == {"sum": 3, "count": 3, "whole": False}
    assert job.progress["combo"] == 3


def test_a_job_cancelled_before_its_first_chunk_has_nothing_to_keep(ask: Ask, actor: Actor) -> None:
    job = ask(10, 3)
    job_cancel(actor=actor, job=job)
    job = carried(job)
    assert job.result is None
    assert set(statuses(job)) == {"dropped"}


def test_what_is_found_after_the_wish_to_cancel_is_not_gathered(ask: Ask, counting: Counting, actor: Actor) -> None:
    job = ask(10, 3)
    carry(job.pk, "tests", until=time.monotonic())

    def cancel(piece: Piece) -> None:
        job_cancel(actor=actor, job=job)
        counting.during = lambda piece: None

    counting.during = cancel
    job = carried(job)
    assert job.result == {"sum": 3, "count": 3, "whole": False}
    assert statuses(job) == ["done", "dropped", "dropped", "dropped", "done"]
    assert [found for _, _, found in results_of(job.pk)] == [b"[0, 1, 2]"]


def test_what_a_long_chunk_had_kept_before_the_wish_to_cancel_is_gathered(
    ask: Ask, counting: Counting, actor: Actor
) -> None:
    job = ask(10, 10)

    def keep(piece: Piece) -> None:
        piece.keep(b"[0, 1, 2]")
        job_cancel(actor=actor, job=job)
        piece.keep(b"[0, 1, 2, 3]")

    counting.during = keep
    job = carried(job)
    assert job.status == JobStatus.CANCELLED
    assert job.result == {"sum": 3, "count": 3, "whole": False}


def test_an_ended_job_cannot_be_cancelled_and_a_second_wish_changes_nothing(ask: Ask, actor: Actor) -> None:
    job = carried(ask())
    with pytest.raises(OptimizationFinished):
        job_cancel(actor=actor, job=job)
    other = ask()
    assert job_cancel(actor=actor, job=other).completed_at == job_cancel(actor=actor, job=other).completed_at


def test_a_job_of_somebody_else_is_not_cancelled_by_a_trader(ask: Ask, operator_actor: Actor) -> None:
    job = ask()
    stranger = Actor(kind="user", name="stranger", user_id=10**6, role=None)
    with pytest.raises(PermissionDenied):
        job_cancel(actor=stranger, job=job)
    assert job_cancel(actor=operator_actor, job=job).status == JobStatus.CANCELLED


def test_a_job_that_cannot_be_done_fails_with_the_code_of_its_kind(ask: Ask, counting: Counting) -> None:
    def refuse(piece: Piece) -> None:
        raise OptimizationFailed("Too few trades.", code="TOO_FEW_TRADES")

    counting.during = refuse
    job = carried(ask(10, 3))
    assert (job.status, job.error_code, job.error_detail) == ("failed", "TOO_FEW_TRADES", "Too few trades.")
    assert set(statuses(job)) == {"dropped"}
    assert counting.ran == [(0, 3)]


@pytest.mark.parametrize("where", ["during", "gathering"])
def test_what_nobody_expected_fails_the_job_and_not_the_worker(
    ask: Ask, counting: Counting, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(_: Any) -> None:
        raise ZeroDivisionError("by nought")

    setattr(counting, where, crash)
    job = carried(ask(10, 3))
    assert (job.status, job.error_code) == ("failed", "WORK_CRASHED")
    assert "by nought" in job.error_detail
    assert "Traceback" in caplog.text


def test_a_worker_that_is_about_to_end_hands_its_chunk_over(
    ask: Ask, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ask(10, 10)

    def end(piece: Piece) -> None:
        lifecycle.stopping.set()
        piece.check()

    counting.during = end
    try:
        assert carry(job.pk, "tests", until=time.monotonic() + 60) is True
    finally:
        lifecycle.stopping.clear()
    chunk = job.chunks.get()
    assert (chunk.status, chunk.attempts) == (ChunkStatus.WAITING, 0)
    counting.during = lambda piece: None
    assert carried(job).status == JobStatus.COMPLETE


def test_progress_is_told_at_most_ten_times_a_second(ask: Ask, counting: Counting) -> None:
    job = ask(500, 500)

    def talk(piece: Piece) -> None:
        for done in range(500):
            piece.progress(done, 1)

    counting.during = talk
    began = time.monotonic()
    carried(job)
    took = time.monotonic() - began
    events = LiveEvent.objects.filter(feed="optimize")
    # The first and the last one, and those between.
    assert events.count() <= 2 + 8 * (took + 1)
    last = events.order_by("-id")[0]
    assert last.type == "progress"
    assert {name: last.data[name] for name in ("job_id", "combo", "total", "fold", "n_folds", "status")} == {
        "job_id": str(job.pk),
        "combo": 500,
        "total": 500,
        "fold": 2,
        "n_folds": 2,
        "status": "complete",
    }


def test_progress_never_goes_back(ask: Ask, counting: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ask(10, 10)
    OptimizationJob.objects.filter(pk=job.pk).update(done_combinations=7)
    monkeypatch.setattr("optimize.carrying.PERIOD", job.created_at - job.created_at)
    counting.during = lambda piece: piece.progress(2, 0)
    carried(job)
    assert [event.data["combo"] for event in LiveEvent.objects.filter(feed="optimize").order_by("id")] == [0, 7, 10]


@pytest.mark.parametrize(
    ("total", "size", "count"), [(1, 10, 1), (10, 3, 4), (100_000, 1, CHUNKS_MAX), (2, 0, 2), (100_000, 100, 1000)]
)
def test_stretches_cover_everything_once_and_are_never_too_many(total: int, size: int, count: int) -> None:
    found = stretches(total, size)
    assert len(found) == count
    assert [number for first, last in found for number in range(first, last)] == list(range(total))


@pytest.mark.postgres
def test_many_workers_carry_each_chunk_once(transactional_db: None, ask: Ask, counting: Counting) -> None:
    from concurrent.futures import ThreadPoolExecutor

    job = ask(200, 5)

    def one(name: int) -> None:
        try:
            carry(job.pk, f"worker {name}", until=time.monotonic() + 60)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(8)))
    job.refresh_from_db()
    assert sorted(counting.ran) == [(first, first + 5) for first in range(0, 200, 5)]
    assert job.result == {"sum": sum(range(200)), "count": 200, "whole": True}
    assert job.status == JobStatus.COMPLETE
