"""Chunks of lost workers are redone, lost messages are sent anew, and what kills its workers ends."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F

from optimize import watchdog
from optimize.carrying import carry
from optimize.choices import ChunkStatus, JobStatus
from optimize.claims import ATTEMPTS_MAX, claim, fenced
from optimize.models import OptimizationChunk, OptimizationJob
from tests.optimize.conftest import Counting
from tests.support.desk import wait_until
from tradingsite.common.clock import utcnow
from tradingsite.common.models import OutboxMessage

pytestmark = pytest.mark.django_db

Ask = Callable[..., OptimizationJob]


def lose(job: OptimizationJob) -> None:
    """Let a worker take a chunk and never be heard of again."""
    held = claim(job.pk, "lost")
    assert held is not None
    OptimizationChunk.objects.filter(pk=held.chunk_id).update(lease_until=utcnow() - timedelta(seconds=1))


def test_a_lost_worker_s_chunk_is_redone_with_the_same_result(ask: Ask, counting: Counting) -> None:
    job = ask(10, 5)
    lose(job)
    OutboxMessage.objects.all().delete()

    assert watchdog.tick() == 1

    assert OutboxMessage.objects.filter(task="optimize.carry", args=[str(job.pk)]).count() == 1
    carry(job.pk, "tests", until=time.monotonic() + 60)
    job.refresh_from_db()
    assert job.result == {"sum": 45, "count": 10, "whole": True}
    assert job.done_combinations == 10


def test_a_chunk_goes_on_from_what_the_lost_worker_had_kept(ask: Ask, counting: Counting) -> None:
    job = ask(10, 10)
    lose(job)
    job.chunks.update(state=b"[1, 2]")
    watchdog.tick()
    seen: list[bytes | None] = []
    counting.during = lambda piece: seen.append(piece.state)
    carry(job.pk, "tests", until=time.monotonic() + 60)
    assert seen == [b"[1, 2]"]


def test_a_chunk_that_kills_every_worker_ends_its_job(ask: Ask) -> None:
    job = ask(10, 5)
    for _ in range(ATTEMPTS_MAX):
        assert job.status != JobStatus.FAILED
        lose(job)
        watchdog.tick()
        job.refresh_from_db()
    assert (job.status, job.error_code) == ("failed", "ATTEMPTS_EXHAUSTED")
    assert set(job.chunks.values_list("status", flat=True)) == {"dropped"}


def test_a_running_chunk_is_left_alone(ask: Ask) -> None:
    job = ask(10, 5)
    assert claim(job.pk, "alive") is not None
    assert watchdog.tick() == 0


def test_a_job_whose_message_is_gone_is_called_again_and_only_once(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ask(10, 5)
    monkeypatch.setattr("optimize.watchdog.broker.waiting", lambda queue: 0)
    long_ago = utcnow() - timedelta(seconds=10)
    OptimizationJob.objects.filter(pk=job.pk).update(called_at=long_ago, updated_at=long_ago)
    # Its message still waits for the relay.
    assert watchdog.tick() == 0
    OutboxMessage.objects.all().delete()
    assert watchdog.tick() == 1
    assert watchdog.tick() == 0


def test_a_full_queue_is_given_time(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ask(10, 5)
    OutboxMessage.objects.all().delete()
    monkeypatch.setattr("optimize.watchdog.broker.waiting", lambda queue: 1)
    for seconds, called in ((10, 0), (60, 1)):
        then = utcnow() - timedelta(seconds=seconds)
        OptimizationJob.objects.filter(pk=job.pk).update(called_at=then, updated_at=then)
        assert watchdog.tick() == called


@pytest.mark.postgres
def test_a_worker_that_ends_its_chunk_late_and_the_watchdog_do_not_wait_for_each_other(
    transactional_db: None, ask: Ask
) -> None:
    job = ask(10, 5)
    held = claim(job.pk, "slow")
    assert held is not None
    OptimizationChunk.objects.filter(pk=held.chunk_id).update(lease_until=utcnow() - timedelta(minutes=1))

    def watch() -> int:
        try:
            return watchdog.tick()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with fenced(held, status=ChunkStatus.DONE, lease_until=None):
            watching = pool.submit(watch)
            wait_until("the watchdog at the lock", _somebody_waits_for_a_row, seconds=20)
            OptimizationJob.objects.filter(pk=job.pk).update(chunks_done=1)
        assert watching.result(20) == 0
    assert OptimizationChunk.objects.get(pk=held.chunk_id).status == ChunkStatus.DONE


@pytest.mark.postgres
@pytest.mark.parametrize("taken", [True, False])
def test_a_job_is_complete_only_by_the_worker_whose_chunk_it_still_is_when_its_turn_comes(
    taken: bool, transactional_db: None, ask: Ask
) -> None:
    """The end of a job is one statement, which has seen the chunk before it waits for the job."""
    job = ask(10, 10)

    def work() -> None:
        try:
            carry(job.pk, "slow", until=time.monotonic())
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            OptimizationJob.objects.select_for_update().get(pk=job.pk)
            working = pool.submit(work)
            wait_until("the worker at the lock", _somebody_waits_for_a_row, seconds=20)
            OptimizationJob.objects.filter(pk=job.pk).update(done_combinations=1)
            if taken:
                fields = {"fence": F("fence") + 1, "status": ChunkStatus.WAITING}
                OptimizationChunk.objects.filter(job=job).update(**fields)
        working.result(20)
    job.refresh_from_db()
    chunk = OptimizationChunk.objects.get(job=job)
    if taken:
        assert (job.status, job.result, chunk.status) == (JobStatus.QUEUED, None, ChunkStatus.WAITING)
        assert chunk.result is None
    else:
        assert (job.status, job.done_combinations, chunk.status) == (JobStatus.COMPLETE, 10, ChunkStatus.DONE)


def _somebody_waits_for_a_row() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # within a transaction the first look would stay the last
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])
