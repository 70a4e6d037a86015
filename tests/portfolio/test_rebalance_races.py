"""Rebalances at the same moment, on a database with row locks; each race has a control that shows that there is one."""

import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from portfolio import duties, rebalances, services
from portfolio.errors import RebalanceRunning
from portfolio.models import AccountQuerySet, Goal, Order, PaperOrder, Position, Rebalance, RebalanceLeg
from tests.portfolio.conftest import Prices
from tests.portfolio.rebalancing_desk import FLAT, bind_nobody
from tests.portfolio.test_rebalance_once import Death
from tradingsite.common.actor import Actor

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

ACTOR = Actor.system("test")


@pytest.fixture
def goal(transactional_db: None, data_dir: Path) -> Goal:
    for symbol in ("ACME", "BETA"):
        Prices().series(symbol, FLAT)
    services.account_ensure_default(actor=ACTOR)
    bind_nobody()
    return services.goal_create(
        actor=ACTOR, name="Both", target_weights={"ACME": "0.5", "BETA": "0.3"}, drift_threshold="0.05"
    )


def in_threads(count: int, work: Callable[[], Any]) -> Counter[str]:
    """Run `work` in so many threads at once and count what came of it, by the name of the error or `done`."""
    start, found = threading.Barrier(count), []

    def run() -> None:
        try:
            start.wait(10)
            work()
            found.append("done")
        except Exception as error:  # noqa: BLE001  # the test looks at whatever it was
            found.append(type(error).__name__)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return Counter(found)


def held() -> dict[str, Decimal]:
    return dict(Position.objects.exclude(quantity=0).values_list("instrument__symbol", "quantity"))


def test_of_eight_rebalances_at_once_one_orders(goal: Goal) -> None:
    found = in_threads(8, lambda: services.rebalance_start(actor=ACTOR, goal_id=goal.pk))
    assert found["done"] >= 1
    assert set(found) <= {"done", RebalanceRunning.__name__}
    # A later one that came when the first had ended found nothing left to order.
    assert RebalanceLeg.objects.count() == Order.objects.count() == PaperOrder.objects.count() == 2
    assert held() == {"ACME": 50, "BETA": 30}


def test_control_without_the_accounts_lock_and_the_constraint_they_order_more(
    goal: Goal, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = threading.Barrier(8)
    real = rebalances.rebalance_draft

    def together(*args: Any, **kwargs: Any) -> Any:
        draft = real(*args, **kwargs)
        meeting.wait(20)
        return draft

    monkeypatch.setattr(rebalances, "rebalance_draft", together)
    monkeypatch.setattr(AccountQuerySet, "locked", lambda self, account_id: self.get(pk=account_id))
    found = in_threads(8, lambda: services.rebalance_start(actor=ACTOR, goal_id=goal.pk))
    # Eight plans from one state of the account: the constraint alone stops seven of them.
    assert found["done"] < 8
    assert found["IntegrityError"] > 0


def test_eight_calls_with_one_key_are_one_rebalance(goal: Goal) -> None:
    found = in_threads(8, lambda: services.rebalance_start(actor=ACTOR, goal_id=goal.pk, key="k1"))
    assert found == {"done": 8}
    assert Rebalance.objects.count() == 1
    assert Order.objects.count() == PaperOrder.objects.count() == 2
    assert held() == {"ACME": 50, "BETA": 30}


def test_eight_duties_carry_on_what_a_dead_process_left_and_order_once(
    goal: Goal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*args: Any) -> bool:
        raise Death

    with monkeypatch.context() as patch:
        patch.setattr(rebalances, "_send", dying)
        with pytest.raises(Death):
            services.rebalance_start(actor=ACTOR, goal_id=goal.pk)
    assert Order.objects.count() == 0
    assert in_threads(8, duties.carry_on_rebalances) == {"done": 8}
    assert Rebalance.objects.get().status == "completed"
    assert Order.objects.count() == PaperOrder.objects.count() == 2
    assert held() == {"ACME": 50, "BETA": 30}
