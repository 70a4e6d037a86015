"""Fees, dividends and interest that the broker books without a fill: taken over by its own word, and no mismatch."""

import contextlib
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connections

from portfolio import adopting, comparing, reconciliation, selectors, services
from portfolio.brokers import broker_for
from portfolio.comparing import Booked, explaining
from portfolio.models import Account, AccountQuerySet, CashMovement, Order
from safety.models import AuditLog, ReconciliationBlock
from tests.portfolio.conftest import agree
from tests.portfolio.test_reconciliation import everything
from tests.support.alpaca import Book
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db

D = Decimal
Place = Callable[..., Order]


@pytest.fixture
def old(book: Book, account: Account) -> Account:
    """The account has been there for a month."""
    Account.objects.update(created_at=utcnow() - timedelta(days=30))
    return Account.objects.get()


def today() -> date:
    return utcnow().astimezone(adopting.BROKER_ZONE).date()


def run() -> services.Reconciliation:
    return services.account_reconcile(account=Account.objects.get(), wall=utcnow())


def blocks() -> set[str]:
    return set(ReconciliationBlock.objects.values_list("code", flat=True))


TYPES = [
    ("FEE", "-3.21", "fee"),
    ("CFEE", "-4.5", "fee"),
    ("PTC", "-2", "fee"),
    ("DIV", "12.34", "dividend"),
    ("DIVNRA", "-1.85", "dividend"),
    ("INT", "7.77", "interest"),
]


@pytest.mark.parametrize(("word", "amount", "kind"), TYPES)
def test_what_the_broker_booked_is_taken_over_marked_and_blocks_nothing(
    book: Book, old: Account, place: Place, word: str, amount: str, kind: str
) -> None:
    book.book_cash(word, amount, today(), symbol="ACME", description="for the quarter")
    first = run()
    assert (first.compared, first.differences, blocks()) == (True, (), set())
    assert first.adopted == (f"{D(amount)} USD are taken over: {word} ACME for the quarter",)
    row = CashMovement.objects.get()
    assert (row.kind, row.amount, row.booked_on) == (kind, D(amount), today())
    assert AuditLog.objects.get(action="account.cash_movement").after["kind"] == kind
    assert agree(book)
    assert services.positions_check(account=old) == []
    rows = everything()
    assert (run().adopted, everything()) == ((), rows)
    assert place().status == "filled"


def test_its_id_follows_from_the_brokers_own(book: Book, old: Account) -> None:
    name = book.book_cash("DIV", "5", today())
    run()
    [told] = broker_for(old, wall=utcnow()).cash_activities(today())
    assert told.activity_id == name
    assert CashMovement.objects.get().pk == adopting.activity_id(old, told)


def test_a_small_fee_is_taken_over_too_though_it_would_block_nothing(book: Book, old: Account) -> None:
    book.book_cash("FEE", "-0.02", today())
    assert (run().differences, CashMovement.objects.get().amount, agree(book)) == ((), D("-0.02"), True)


def test_a_fee_is_lost_and_a_dividend_won_where_a_transfer_is_neither(book: Book, old: Account) -> None:
    book.book_cash("FEE", "-30", today())
    book.book_cash("DIV", "20", today())
    run()
    assert selectors.account_summary(Account.objects.get(), utcnow())["total_pnl"] == D(-10)
    book.book_cash("CSD", "500", today())
    assert [each.kind.value for each in run().differences] == ["CASH_DIFFERS"]
    assert selectors.account_summary(Account.objects.get(), utcnow())["total_pnl"] == D(-10)


@pytest.mark.parametrize("word", ["CSD", "CSW", "JNLC", "ACATC", "MA", "SOMETHING_NEW"])
def test_what_somebody_moved_blocks_as_before(book: Book, old: Account, word: str) -> None:
    book.book_cash(word, "-250", today())
    assert [each.kind.value for each in run().differences] == ["CASH_DIFFERS"]
    assert (blocks(), CashMovement.objects.get().kind) == ({"CASH_DIFFERS"}, "moved")


def test_a_deposit_beside_a_fee_is_told_apart_from_it(book: Book, old: Account) -> None:
    book.book_cash("FEE", "-3", today())
    book.cash += 500
    [difference] = run().differences
    assert str(difference) == "99997 here, 100497 at the broker"
    assert dict(CashMovement.objects.values_list("kind", "amount")) == {"fee": D(-3), "moved": D(500)}
    assert agree(book)
    assert run().adopted == ()


def test_what_was_booked_before_the_account_was_made_is_in_its_cash(book: Book, old: Account) -> None:
    book.book_cash("DIV", "40", today() - timedelta(days=60))
    book.cash -= 40
    book.book_cash("FEE", "-3", today())
    assert run().differences == ()
    assert list(CashMovement.objects.values_list("amount", flat=True)) == [D(-3)]


def test_what_was_taken_back_does_not_count(book: Book, old: Account) -> None:
    book.book_cash("DIV", "40", today(), status="canceled")
    book.cash -= 40
    book.book_cash("FEE", "-3", today())
    run()
    assert list(CashMovement.objects.values_list("amount", flat=True)) == [D(-3)]


def test_cash_that_was_explained_after_somebody_had_looked_is_not_taken_twice(book: Book, old: Account) -> None:
    book.cash -= 8  # gone a day before the broker tells of it
    assert [each.kind.value for each in run().differences] == ["CASH_DIFFERS"]
    book.book_cash("FEE", "-8", today())
    book.cash += 8
    for _ in range(2):
        assert (run().adopted, CashMovement.objects.count(), agree(book)) == ((), 1, True)
    book.book_cash("DIV", "20", today())
    assert (run().differences, agree(book)) == ((), True)
    assert set(CashMovement.objects.values_list("kind", "amount")) == {("moved", D(-8)), ("dividend", D(20))}


def test_more_activities_than_a_page_holds_are_all_read(
    book: Book, old: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portfolio.brokers.alpaca._ACTIVITIES_PER_PAGE", 3)
    book.page = 3
    for number in range(10):
        book.book_cash("FEE", f"-{number + 1}", today() - timedelta(days=number))
    assert run().differences == ()
    assert CashMovement.objects.count() == 10
    assert book.calls.count("activities") == 4
    assert agree(book)


def test_while_the_cash_agrees_nobody_asks_for_activities(book: Book, old: Account) -> None:
    run()
    assert "activities" not in book.calls


@pytest.mark.parametrize("fault", ["500", "garbage", "close"])
def test_a_difference_whose_cause_cannot_be_asked_for_is_taken_over_by_nobody(
    book: Book, old: Account, fault: str
) -> None:
    book.book_cash("FEE", "-3", today())
    book.fail("activities", f"{fault} before")
    assert (run().compared, blocks(), CashMovement.objects.count()) == (False, {"BROKER_UNREACHABLE"}, 0)
    assert (run().differences, blocks(), CashMovement.objects.get().kind) == ((), set(), "fee")


def test_what_is_within_the_tolerance_blocks_nothing_though_its_cause_cannot_be_asked_for(
    book: Book, old: Account
) -> None:
    book.book_cash("FEE", "-0.4", today())
    book.fail("activities", "500 before")
    assert (run().compared, blocks()) == (True, set())
    run()
    assert CashMovement.objects.get().amount == D("-0.4")


# ---------------------------------------------------------------------------------------------------- which explain it

MONDAY = date(2026, 1, 5)


def booked(*amounts: str, day: int = 1) -> list[Booked]:
    return [Booked(f"{day}-{n}", D(text), MONDAY + timedelta(days=day)) for n, text in enumerate(amounts)]


@pytest.mark.parametrize(
    ("difference", "told", "expected"),
    [
        ("9", booked("10", "-1"), ["10", "-1"]),
        ("-1", [*booked("10", day=0), *booked("-1")], ["-1"]),  # the dividend is in the books already
        ("20", booked("20", "-8"), ["20"]),
        ("20", booked("-8", "20"), ["20"]),
        ("-45", booked(*["-1"] * 45), ["-1"] * 45),
        ("10", booked("10", day=0), ["10"]),  # booked that day, after the books had agreed
        ("499", booked("-1"), ["-1"]),  # beside a deposit of 500
        ("-4", booked("-1"), ["-1"]),
        ("-4", booked("-1", day=0), []),
        ("0.004", booked("-1"), []),
        ("5", [], []),
    ],
)
def test_what_explains_a_difference(difference: str, told: list[Booked], expected: list[str]) -> None:
    assert [each.amount for each in explaining(D(difference), told, MONDAY, D(1))] == [D(text) for text in expected]


# ------------------------------------------------------------------------------------------------------ at the same time


def two_at_once(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseException]]:
    """Let two comparisons read the broker's books before either of them writes."""
    meeting, ask, raised = threading.Barrier(2), reconciliation._ask, []
    mine = threading.local()

    def slow(*args: Any) -> Any:
        found = ask(*args)
        if not getattr(mine, "met", False):
            mine.met = True
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait(10)
        return found

    monkeypatch.setattr(reconciliation, "_ask", slow)

    def work() -> None:
        try:
            run()
        except IntegrityError as error:
            raised.append(type(error))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return raised


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_comparisons_at_once_take_a_dividend_once(
    book: Book, old: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.book_cash("DIV", "40", today())
    assert two_at_once(monkeypatch) == []
    assert CashMovement.objects.count() == 1
    assert agree(book)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_control_without_the_lock_and_the_look_only_the_id_keeps_it_from_being_taken_twice(
    book: Book, old: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.book_cash("DIV", "40", today())
    monkeypatch.setattr(AccountQuerySet, "locked", lambda self, account_id: self.get(pk=account_id))
    monkeypatch.setattr(reconciliation, "_stamp", lambda account: None)
    meeting, explains = threading.Barrier(2), comparing.explaining

    def together(*args: Any) -> Any:
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait(10)
        return explains(*args)

    monkeypatch.setattr(adopting, "explaining", together)
    assert two_at_once(monkeypatch) == [IntegrityError]
    assert CashMovement.objects.count() == 1


def test_the_brokers_day_is_that_of_its_exchange(old: Account) -> None:
    Account.objects.update(created_at=datetime(2026, 1, 6, 3, tzinfo=UTC))
    assert adopting.agreed_on(Account.objects.get()) == MONDAY
