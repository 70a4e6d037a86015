"""A hundred simultaneous orders against a limit of ten leave exactly ten."""

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

from safety import counters
from safety.choices import CounterName
from safety.models import DayCounter

TRADES = CounterName.TRADES


@pytest.mark.django_db
def test_the_limit_is_counted_up_to_and_not_beyond() -> None:
    account = uuid4()
    taken = [counters.take(account_id=account, name=TRADES, limit=3) for _ in range(5)]
    assert taken == [True, True, True, False, False]
    assert counters.used(account_id=account, name=TRADES) == 3
    assert counters.take(account_id=account, name=TRADES, limit=None)
    assert counters.used(account_id=account, name=TRADES) == 4


@pytest.mark.django_db
def test_a_limit_of_zero_lets_nothing_pass() -> None:
    assert not counters.take(account_id=uuid4(), name=TRADES, limit=0)


@pytest.mark.django_db
def test_accounts_are_counted_apart() -> None:
    assert counters.take(account_id=uuid4(), name=TRADES, limit=1)
    assert counters.take(account_id=uuid4(), name=TRADES, limit=1)


@pytest.mark.django_db
def test_what_rolls_back_was_never_counted() -> None:
    account = uuid4()
    with transaction.atomic():
        counters.take(account_id=account, name=TRADES, limit=1)
        transaction.set_rollback(True)
    assert counters.used(account_id=account, name=TRADES) == 0


@pytest.mark.django_db
def test_the_day_ends_at_the_desks_own_midnight(frozen_clock: Callable[[datetime], None]) -> None:
    account = uuid4()
    frozen_clock(datetime(2026, 1, 6, 4, 59, tzinfo=UTC))  # 23:59 in New York
    assert counters.trading_day() == date(2026, 1, 5)
    assert counters.take(account_id=account, name=TRADES, limit=1)
    assert not counters.take(account_id=account, name=TRADES, limit=1)
    frozen_clock(datetime(2026, 1, 6, 5, 0, tzinfo=UTC))
    assert counters.take(account_id=account, name=TRADES, limit=1)


def hundred(take: Callable[[], bool]) -> int:
    """Return how many of a hundred simultaneous tries succeeded."""
    start = threading.Barrier(20)
    results: list[bool] = []

    def work() -> None:
        try:
            start.wait()
            for _ in range(5):
                with transaction.atomic():
                    results.append(take())
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results.count(True)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_hundred_orders_against_ten_places_give_exactly_ten() -> None:
    account = uuid4()
    assert hundred(lambda: counters.take(account_id=account, name=TRADES, limit=10)) == 10
    assert DayCounter.objects.get().value == 10


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_reading_first_and_writing_after_would_let_more_than_ten_pass() -> None:
    """The control: the same hundred without the conditional UPDATE."""
    account = uuid4()
    counters.take(account_id=account, name=TRADES, limit=None)
    DayCounter.objects.update(value=0)
    assert hundred(lambda: _naive_take(account, 10)) > 10


def _naive_take(account_id: UUID, limit: int) -> bool:
    row = DayCounter.objects.get(account_id=account_id)
    if row.value >= limit:
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.005)")  # the time that the rest of the order path takes
    row.value += 1
    row.save()
    return True
