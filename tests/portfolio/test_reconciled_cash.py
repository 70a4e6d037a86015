"""Cash that moved at the broker alone: neither a profit nor a loss, to the breaker, the gate and the page."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db.models import F

from portfolio import selectors, services
from portfolio.models import Account, EquitySnapshot, Order
from safety import killswitch
from safety.models import DrawdownBreaker
from safety.services import reconciliation_clear
from tests.support.alpaca import Book
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db

D = Decimal
Place = Callable[..., Order]
DESK = Actor.system("test")


def run() -> services.Reconciliation:
    return services.account_reconcile(account=Account.objects.get(), wall=utcnow())


def clear(account: Account, *codes: str) -> None:
    reconciliation_clear(actor=DESK, account_id=account.pk, codes=codes or None, reason="looked at it")


def looks(*minutes: int) -> DrawdownBreaker:
    for minute in minutes:
        services.drawdowns_watch(wall=utcnow() + timedelta(minutes=minute))
    return DrawdownBreaker.objects.get()


def moved_at_broker(book: Book, account: Account, amount: int) -> None:
    book.cash += amount
    assert [each.kind.value for each in run().differences] == ["CASH_DIFFERS"]
    clear(account)


@pytest.mark.parametrize("amount", [-30_000, -98_970, 200_000])
def test_cash_that_came_or_went_is_no_profit_and_no_loss_to_the_breaker_the_gate_or_the_page(
    book: Book, place: Place, account: Account, amount: int
) -> None:
    place()
    looks(-30)
    before = selectors.account_summary(Account.objects.get(), utcnow())
    moved_at_broker(book, account, amount)
    row = looks(10, 20, 30)
    assert (row.level, row.fall, row.day_pnl) == ("normal", 0, 0)
    assert not killswitch.state().active
    after = selectors.account_summary(Account.objects.get(), utcnow())
    for figure in ("day_pnl", "total_pnl", "drawdown"):
        assert after[figure] == before[figure] == 0, figure
    assert place(client_order_id="more", side="sell", quantity=D(1)).status == "filled"
    if amount > -90_000:
        assert place(client_order_id="and more", quantity=D(1)).status == "filled"


def test_a_deposit_hides_no_loss(book: Book, place: Place, account: Account) -> None:
    place()
    looks(-30)
    Account.objects.update(cash=F("cash") - 12_000)  # as fills at bad prices would leave it
    book.cash -= 12_000
    lost = looks(-20, -10)
    assert (lost.level, round(lost.fall, 6)) == ("warn", D("0.12"))
    moved_at_broker(book, account, 88_000)
    row = looks(10, 20)
    assert (row.level, round(row.fall, 6), row.peak) == ("warn", D("0.12"), D(200_000))


def test_the_point_before_this_day_counts_with_what_moved_since(book: Book, account: Account) -> None:
    EquitySnapshot.objects.create(
        account=account,
        at=utcnow() - timedelta(days=1),
        cash=D(100_000),
        positions_value=D(0),
        equity=D(100_000),
    )
    moved_at_broker(book, account, -40_000)
    assert selectors.account_standing(Account.objects.get(), utcnow()).day_pnl == 0


def test_an_account_made_with_another_cash_than_its_broker_holds_trades_once_somebody_has_looked(
    book: Book, place: Place, account: Account
) -> None:
    moved_at_broker(book, account, -75_000)
    assert place().status == "filled"
