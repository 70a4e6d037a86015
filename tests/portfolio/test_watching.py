"""The breaker sees an account at one moment: what moves while it looks is not taken for a loss."""

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections, transaction

from market.models import BarSeries
from portfolio import services, watching
from portfolio.models import Account, AccountQuerySet, CashMovement, Order
from safety import killswitch
from safety.models import DrawdownBreaker
from safety.services import breaker_cash_moved
from tests.portfolio.conftest import FIRST_DAY
from tradingsite.common import clock
from tradingsite.common.ids import uuid7

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

HALF = Decimal(50_000)


def watch(hour: int) -> None:
    moment = FIRST_DAY + timedelta(days=1, hours=hour)
    with clock.frozen(moment):
        services.drawdowns_watch(wall=moment)


def withdraw() -> None:
    """Take half of the account away, as a comparison with the broker writes it down."""
    with transaction.atomic():
        account = Account.objects.locked(Account.objects.get().pk)
        account.cash -= HALF
        account.save(update_fields=["cash"])
        CashMovement.objects.create(id=uuid7(), account=account, amount=-HALF, detail="withdrawn")
        breaker_cash_moved(account_id=account.pk, amount=-HALF)


def withdraw_while_the_breaker_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the cash go between the look at the account and the breaker's note of it, if nothing is in the way."""
    looked, gone = threading.Event(), threading.Event()
    valuation = watching.valuation

    def slowly(**said: Any) -> Any:
        worth = valuation(**said)
        looked.set()
        gone.wait(1)
        return worth

    def other() -> None:
        looked.wait(10)
        try:
            withdraw()
        finally:
            gone.set()
            connections.close_all()

    thread = threading.Thread(target=other)
    thread.start()
    with monkeypatch.context() as slow:
        slow.setattr(watching, "valuation", slowly)
        watch(2)
    thread.join(30)
    assert CashMovement.objects.exists()
    connection.close()


def test_the_control_without_the_lock_takes_a_withdrawal_for_a_loss_of_half_and_stops_the_desk(
    acme: BarSeries, place: Callable[..., Order], data_dir: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place()
    watch(1)
    with monkeypatch.context() as unlocked:
        unlocked.setattr(AccountQuerySet, "locked", lambda self, pk: self.get(pk=pk))
        withdraw_while_the_breaker_looks(monkeypatch)
    watch(3)
    watch(4)
    assert killswitch.state().active
    assert DrawdownBreaker.objects.get().fall > Decimal("0.4")


def test_cash_that_goes_while_the_breaker_looks_is_no_loss(
    acme: BarSeries, place: Callable[..., Order], data_dir: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place()
    watch(1)
    withdraw_while_the_breaker_looks(monkeypatch)
    watch(3)
    watch(4)
    assert not killswitch.state().active
    assert DrawdownBreaker.objects.get().fall < Decimal("0.001")
