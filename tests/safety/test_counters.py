"""A hundred simultaneous orders against a limit of ten leave exactly ten."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import uuid4

import pytest
from django.db import connection, transaction

from safety import counters, services
from safety.choices import CounterName
from safety.counters import WHOLE, Counters
from safety.models import DayCounter, GateDecision, SafetySettings
from tests.safety.cases import ACCOUNT, EXPOSURE, INTENT
from tradingsite.common.actor import Actor

DAY = date(2026, 1, 5)
DESK = Actor.system("test")


def of(*scopes: str) -> Counters:
    return Counters(DAY, ACCOUNT, CounterName.TRADES, scopes or (WHOLE,))


@pytest.mark.django_db
def test_every_scope_of_an_order_is_counted_and_no_other() -> None:
    with transaction.atomic():
        assert of(WHOLE, "instrument AAPL").hold() == {WHOLE: 0, "instrument AAPL": 0}
        of(WHOLE, "instrument AAPL").add()
    with transaction.atomic():
        assert of(WHOLE, "instrument MSFT").hold() == {WHOLE: 1, "instrument MSFT": 0}
        of(WHOLE, "instrument MSFT").add()
    assert of(WHOLE, "instrument AAPL", "instrument MSFT", "strategy x").used() == {
        WHOLE: 2,
        "instrument AAPL": 1,
        "instrument MSFT": 1,
        "strategy x": 0,
    }


@pytest.mark.django_db
def test_accounts_and_days_are_counted_apart() -> None:
    with transaction.atomic():
        of().hold()
        of().add()
    assert replace(of(), account_id=uuid4()).used() == {WHOLE: 0}
    assert replace(of(), day=date(2026, 1, 6)).used() == {WHOLE: 0}
    assert of().used() == {WHOLE: 1}


@pytest.mark.django_db
def test_what_rolls_back_was_never_counted() -> None:
    with transaction.atomic():
        of().hold()
        of().add()
        transaction.set_rollback(True)
    assert of().used() == {WHOLE: 0}


def order() -> str:
    """Put one order to the gate, and return the code that it was denied with."""
    intent = replace(INTENT, client_order_id=str(uuid4()))
    with transaction.atomic():
        return services.order_check(intent=intent, exposure=EXPOSURE, actor=DESK, consume=True).code


@pytest.mark.django_db
def test_the_day_ends_at_the_desks_own_midnight(frozen_clock: Callable[[datetime], None]) -> None:
    SafetySettings.objects.update(daily_trade_limit=1)
    frozen_clock(datetime(2026, 1, 6, 4, 59, tzinfo=UTC))  # 23:59 in New York
    assert counters.trading_day() == date(2026, 1, 5)
    assert [order(), order()] == ["", "DAILY_TRADES_EXCEEDED"]
    frozen_clock(datetime(2026, 1, 6, 5, 0, tzinfo=UTC))
    assert order() == ""


def hundred() -> list[str]:
    """Return what the gate says to a hundred orders, each of a thread of its own, all at once."""
    ready, codes = threading.Barrier(100), list[str]()
    # A hundred threads wait at the gate; the server has no place for as many connections of one program.
    connections = threading.BoundedSemaphore(40)

    def work() -> None:
        ready.wait()
        with connections:
            try:
                codes.append(order())
            finally:
                connection.close()

    threads = [threading.Thread(target=work) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return codes


LIMITS = {"daily_trade_limit": "DAILY_TRADES_EXCEEDED", "order_rate_limit": "ORDER_RATE_EXCEEDED"}


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", LIMITS)
def test_a_hundred_orders_against_ten_places_give_exactly_ten(name: str) -> None:
    SafetySettings.objects.update(**{"daily_trade_limit": 1000, name: 10})
    codes = hundred()
    assert (codes.count(""), codes.count(LIMITS[name])) == (10, 90)
    assert GateDecision.objects.filter(allowed=True).count() == 10
    assert set(DayCounter.objects.values_list("value", flat=True)) == {10}


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", LIMITS)
def test_without_the_lock_more_than_ten_would_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same hundred looking at counters that they do not hold."""
    SafetySettings.objects.update(**{"daily_trade_limit": 1000, name: 10})
    assert order() == ""

    def look(held: Counters) -> dict[str, int]:
        found = held.used()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.02)")  # the time that the rest of the order path takes
        return found

    monkeypatch.setattr(Counters, "hold", look)
    assert hundred().count("") > 10
