"""The thread that keeps the leases of chunks: it sees who took one and who wants none, and outlives every fault."""

from collections.abc import Callable

import pytest
from django.db import OperationalError

from optimize import leases
from optimize.claims import claim
from optimize.errors import HandOver, JobCancelled, LeaseLost
from optimize.leases import Lease, LeaseKeeper
from optimize.models import OptimizationChunk, OptimizationJob
from optimize.services import job_cancel
from tradingsite.common import keeping, lifecycle
from tradingsite.common.actor import Actor

pytestmark = pytest.mark.django_db

Ask = Callable[..., OptimizationJob]


@pytest.fixture(autouse=True)
def _one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "close_old_connections", lambda: None)


def leased(job: OptimizationJob) -> Lease:
    held = claim(job.pk, "one")
    assert held is not None
    return Lease(held)


def test_a_kept_lease_is_prolonged(ask: Ask) -> None:
    lease = leased(ask())
    before = OptimizationChunk.objects.get(pk=lease.claim.chunk_id).lease_until
    lease.renewed -= 5
    LeaseKeeper()._keep_guarded(lease)
    lease.check()
    after = OptimizationChunk.objects.get(pk=lease.claim.chunk_id).lease_until
    assert before is not None
    assert after is not None
    assert after > before


def test_a_lease_that_was_not_renewed_for_its_length_is_lost(ask: Ask) -> None:
    lease = leased(ask())
    lease.renewed -= 6.1
    with pytest.raises(LeaseLost):
        lease.check()


def test_a_chunk_that_another_worker_has_stops_this_one(ask: Ask) -> None:
    lease = leased(ask())
    OptimizationChunk.objects.filter(pk=lease.claim.chunk_id).update(fence=99)
    LeaseKeeper()._keep_guarded(lease)
    with pytest.raises(LeaseLost):
        lease.check()


def test_a_cancelled_job_stops_its_workers(ask: Ask, actor: Actor) -> None:
    job = ask(10, 5)
    lease = leased(job)
    job_cancel(actor=actor, job=job)
    LeaseKeeper()._keep_guarded(lease)
    with pytest.raises(JobCancelled):
        lease.check()


def test_a_process_that_ends_hands_over(ask: Ask) -> None:
    lease = leased(ask())
    lifecycle.stopping.set()
    try:
        with pytest.raises(HandOver):
            lease.check()
    finally:
        lifecycle.stopping.clear()


@pytest.mark.parametrize("fault", [OperationalError("gone"), ValueError("a bug")])
def test_a_fault_costs_neither_the_lease_nor_the_keeper(
    ask: Ask, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = leased(ask())

    def fail(_: object) -> bool:
        raise fault

    monkeypatch.setattr(leases, "renew", fail)
    LeaseKeeper()._keep_guarded(lease)
    lease.check()
