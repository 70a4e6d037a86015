"""The thread that keeps the leases: one run's fault is that run's alone."""

from collections.abc import Callable

import pytest
from django.db import InterfaceError, OperationalError

from executions.fence import claim
from executions.leases import Lease, LeaseKeeper
from tests.executions.conftest import Trials
from tradingsite.common import keeping


@pytest.mark.django_db
@pytest.mark.parametrize("fault", [OperationalError("gone"), InterfaceError("closed"), ValueError("a bug")])
def test_a_fault_with_one_lease_costs_neither_the_others_nor_the_keeper(
    fault: Exception, trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "close_old_connections", lambda: None)
    held = []
    for _ in range(2):
        taken = claim(trials.create().pk, "one")
        assert taken is not None
        lease = Lease(taken)
        lease.renewed -= 5
        held.append(lease)

    def speak() -> None:
        raise fault

    broken: Callable[[], None] = speak
    held[0].tell = broken
    keeper = LeaseKeeper()
    keeper._leases = {lease.claim: lease for lease in held}
    before = held[1].renewed
    keeper._round(held)
    assert held[1].renewed > before
    assert not held[1].lost
