"""Orders at the same moment. Each race has a control without the lock, which shows that there is one."""

import contextlib
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, connections

from portfolio import facts, intents, orders, services
from portfolio.choices import OrderPurpose
from portfolio.models import Account, AccountQuerySet, Fill, Order, PaperOrder
from tests.portfolio.conftest import FIRST_DAY, Prices
from tradingsite.common import clock
from tradingsite.common.actor import Actor

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

WALL = FIRST_DAY + timedelta(hours=30)


@pytest.fixture
def desk(transactional_db: None, data_dir: Path) -> Account:
    """An account with cash for one of two orders, and a market whose next price is not there yet."""
    for symbol in ("ACME", "BETA"):
        Prices().series(symbol, [(100, 101, 99, 100)], clock="live")
    account = services.account_ensure_default(actor=Actor.system("test"))
    Account.objects.update(cash=Decimal(1500), starting_cash=Decimal(1500))
    account.refresh_from_db()
    return account


def at_once(*works: Callable[[], Any]) -> list[BaseException]:
    """Run all `works` in threads of their own and return what they raised."""
    raised: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> None:
        start.wait(10)
        try:
            with clock.frozen(WALL):
                work()
        except BaseException as error:  # noqa: BLE001  # the test looks at whatever it was
            raised.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return raised


def placing(account: Account, symbol: str, client_order_id: str, **changes: Any) -> Callable[[], Order]:
    said = {"side": "buy", "quantity": Decimal(10), **changes}
    return lambda: services.order_place(
        actor=Actor.system("test"), account=account, symbol=symbol, client_order_id=client_order_id, **said
    )


def statuses() -> list[tuple[str, str]]:
    return sorted(Order.objects.values_list("status", "code"))


def meet_after_the_facts(monkeypatch: pytest.MonkeyPatch, wait_s: float) -> None:
    """Let each order wait, once it has its facts, until the other one has its own or the time is up."""
    meeting = threading.Barrier(2)
    exposure_of = facts.exposure_of

    def slow(**kwargs: Any) -> Any:
        exposure = exposure_of(**kwargs)
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(wait_s)
        return exposure

    monkeypatch.setattr(intents, "exposure_of", slow)


def test_of_two_orders_that_together_exceed_the_cash_exactly_one_passes(
    desk: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet_after_the_facts(monkeypatch, 0.5)
    assert at_once(placing(desk, "ACME", "one"), placing(desk, "BETA", "two")) == []
    assert statuses() == [("accepted", ""), ("denied", "INSUFFICIENT_CASH")]


def test_control_without_the_accounts_lock_both_pass(desk: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AccountQuerySet, "locked", lambda self, account_id: self.get(pk=account_id))
    meet_after_the_facts(monkeypatch, 10)
    assert at_once(placing(desk, "ACME", "one"), placing(desk, "BETA", "two")) == []
    assert statuses() == [("accepted", ""), ("accepted", "")]


def opening(account: Account) -> list[Callable[[], Order]]:
    """Two runs that planned to open a position in ACME while there was none, each with a size of its own."""
    sizes = {"one": Decimal(5), "two": Decimal(6)}
    return [
        placing(account, "ACME", name, quantity=size, purpose=OrderPurpose.OPEN, strategy_id=uuid4())
        for name, size in sizes.items()
    ]


def test_of_two_runs_that_open_the_same_position_exactly_one_does(
    desk: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet_after_the_facts(monkeypatch, 0.5)
    assert at_once(*opening(desk)) == []
    assert statuses() == [("accepted", ""), ("denied", "POSITION_CHANGED")]


def test_control_without_the_accounts_lock_both_open_it(desk: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AccountQuerySet, "locked", lambda self, account_id: self.get(pk=account_id))
    meet_after_the_facts(monkeypatch, 10)
    assert at_once(*opening(desk)) == []
    assert statuses() == [("accepted", ""), ("accepted", "")]


def test_eight_processes_with_one_id_make_one_order(desk: Account) -> None:
    assert at_once(*[placing(desk, "ACME", "one") for _ in range(8)]) == []
    assert Order.objects.count() == PaperOrder.objects.count() == 1


def test_eight_settlings_at_once_apply_a_fill_once(desk: Account) -> None:
    at_once(placing(desk, "ACME", "one"))
    Prices().series("ACME", [(100, 101, 99, 100)] * 3, clock="live")
    later = WALL + timedelta(days=1)
    assert at_once(*[lambda: services.orders_settle(wall=later) for _ in range(8)]) == []
    assert Order.objects.get().status == "filled"
    assert Fill.objects.count() == 1
    assert Account.objects.get().cash == Decimal(1500) - Decimal("1000.5") - Decimal("1.0005")


def test_a_cancel_and_a_fill_at_once_end_in_one_of_the_two(desk: Account) -> None:
    for number in range(5):
        with clock.frozen(WALL + timedelta(minutes=2 * number)):
            Prices().series("ACME", [(100, 101, 99, 100)], clock="live")
            order = placing(desk, "ACME", str(number))()
        assert order.status == "accepted"
        Prices().series("ACME", [(100, 101, 99, 100)] * 3, clock="live")

        def cancel(order: Order = order) -> None:
            try:
                services.order_cancel(actor=Actor.system("test"), order=order)
            except orders.OrderNotOpen:
                return

        assert at_once(cancel, lambda: services.orders_settle(wall=WALL + timedelta(days=1))) == []
        order.refresh_from_db()
        assert order.status in ("cancelled", "filled")
        assert PaperOrder.objects.get(client_order_id=str(number)).status == order.status
        assert Fill.objects.filter(order=order).count() == (order.status == "filled")
        if order.status == "filled":
            break
    assert services.positions_check(account=desk) == []


def test_this_runs_on_a_database_with_row_locks() -> None:
    assert connection.features.has_select_for_update
