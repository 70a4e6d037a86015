"""The desk's books against the broker's: what differs blocks by its own name, is taken over once, and stays marked."""

from collections.abc import Callable
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import DataError, connection, models, transaction
from django.test.utils import CaptureQueriesContext

from portfolio import reconciled, reconciliation, services
from portfolio.comparing import Mismatch
from portfolio.models import Account, CashMovement, Fill, Order, PaperFill, Position
from safety.models import AlertEvent, AuditLog, ReconciliationBlock
from safety.services import reconciliation_clear
from tests.portfolio.conftest import agree
from tests.support.alpaca import Book
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.jobs import job_types
from tradingsite.common.errors import Unavailable

pytestmark = pytest.mark.django_db

D = Decimal
Place = Callable[..., Order]
DESK = Actor.system("test")
OUTSIDE = {"symbol": "ACME", "qty": "7", "side": "buy", "type": "limit", "limit_price": "90", "time_in_force": "gtc"}


def run() -> services.Reconciliation:
    return services.account_reconcile(account=Account.objects.get(), wall=utcnow())


def blocks() -> set[str]:
    return set(ReconciliationBlock.objects.values_list("code", flat=True))


def everything() -> dict[str, list[Any]]:
    """Every row of the desk, so that any write shows."""
    names = ("portfolio", "safety")
    tables: list[type[models.Model]] = [m for name in names for m in apps.get_app_config(name).get_models()]
    return {table._meta.label: list(models.QuerySet(table).order_by("pk").values()) for table in tables}


def clear(account: Account, *codes: str) -> None:
    reconciliation_clear(actor=DESK, account_id=account.pk, codes=codes or None, reason="looked at it")


# ------------------------------------------------------------------------------------------------- kinds of mismatch


def an_order_made_outside(book: Book, place: Place) -> None:
    book.take({**OUTSIDE, "client_order_id": "by hand"})


def an_order_that_the_broker_lost(book: Book, place: Place) -> None:
    place(order_type="limit", limit_price=D(90))
    book.orders.clear()


def an_order_given_up_that_rests_there(book: Book, place: Place) -> None:
    order = place(order_type="limit", limit_price=D(90))
    Order.objects.filter(pk=order.pk).update(status="cancelled", closed_at=utcnow(), code="NOT_SENT")


def a_fill_after_the_end(book: Book, place: Place) -> None:
    place(order_type="limit", limit_price=D(90))
    book.close("one")
    services.orders_settle(wall=utcnow())
    book.fill("one", "4", "90")


def shares_bought_outside(book: Book, place: Place) -> None:
    book.take({**OUTSIDE, "type": "market", "client_order_id": "by hand"})


def shares_sold_outside(book: Book, place: Place) -> None:
    place()
    book.positions["ACME"] = D(6)
    book.cash += 4 * 103


def cash_that_came_in(book: Book, place: Place) -> None:
    book.cash += D("250.50")


CASES = [
    (an_order_made_outside, {"ORDER_UNKNOWN_TO_DESK"}),
    (an_order_that_the_broker_lost, {"ORDER_UNKNOWN_TO_BROKER"}),
    (an_order_given_up_that_rests_there, {"ORDER_OPEN_AT_BROKER"}),
    (a_fill_after_the_end, {"ORDER_FILLS_DIFFER"}),
    (shares_bought_outside, {"POSITION_DIFFERS"}),
    (shares_sold_outside, {"POSITION_DIFFERS"}),
    (cash_that_came_in, {"CASH_DIFFERS"}),
]


@pytest.mark.parametrize(("happens", "codes"), CASES)
def test_each_kind_of_mismatch_blocks_by_its_own_code_and_a_second_run_writes_nothing(
    book: Book, place: Place, account: Account, happens: Callable[..., None], codes: set[str]
) -> None:
    happens(book, place)
    first = run()
    assert first.compared
    assert {each.kind.value for each in first.differences} == codes == blocks()
    assert AlertEvent.objects.filter(kind="positions").count() == len(codes)
    denied = place(client_order_id="blocked", quantity=D(1))
    assert (denied.status, denied.code) == ("denied", "RECONCILIATION_PENDING")
    assert next(iter(codes)) in denied.detail
    assert agree(book)
    assert services.positions_check(account=account) == []

    before, rows = AuditLog.objects.count(), everything()
    second = run()
    assert (second.compared, second.differences, second.adopted) == (True, (), ())
    assert everything() == rows
    assert AuditLog.objects.count() == before
    assert blocks() == codes, "only a person takes it away"
    clear(account)
    assert place(client_order_id="free", quantity=D(2)).code == ""


def test_the_cases_cover_every_kind() -> None:
    assert {code for _, codes in CASES for code in codes} == {kind.value for kind in Mismatch}


def test_books_that_agree_write_nothing_at_all(book: Book, place: Place) -> None:
    place()
    place(order_type="limit", limit_price=D(90), client_order_id="two", quantity=D(3))
    rows = everything()
    with CaptureQueriesContext(connection) as asked:
        assert run().differences == ()
    assert everything() == rows
    assert not [q["sql"] for q in asked.captured_queries if q["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]


# ---------------------------------------------------------------------------------------------------------- taken over


def test_an_order_made_outside_is_marked_and_followed_to_its_end(book: Book, account: Account) -> None:
    book.take({**OUTSIDE, "client_order_id": "by hand"})
    run()
    order = Order.objects.get()
    assert (order.origin, order.client_order_id, order.status, order.limit_price) == (
        "broker",
        "by hand",
        "accepted",
        D(90),
    )
    assert AuditLog.objects.filter(action="order.take_over", target_id=str(order.pk)).exists()
    book.fill("by hand", "7", "89")
    services.orders_settle(wall=utcnow())
    assert Order.objects.get().status == "filled"
    assert agree(book)
    assert run().differences == ()


def test_an_order_made_outside_that_is_filled_in_part_is_counted_once(book: Book, account: Account) -> None:
    book.take({**OUTSIDE, "client_order_id": "by hand"})
    book.fill("by hand", "3", "90")
    result = run()
    assert (result.compared, [each.kind.value for each in result.differences]) == (True, ["ORDER_UNKNOWN_TO_DESK"])
    assert blocks() == {"ORDER_UNKNOWN_TO_DESK"}
    order = Order.objects.get()
    assert (order.status, order.filled_quantity, Position.objects.get().quantity) == ("partially_filled", D(3), D(3))
    services.orders_settle(wall=utcnow())
    assert agree(book)
    assert run().differences == ()


def test_what_was_traded_outside_becomes_a_marked_order_with_one_fill_at_the_brokers_price(
    book: Book, account: Account
) -> None:
    book.take({**OUTSIDE, "type": "market", "client_order_id": "by hand"})
    run()
    order = Order.objects.get()
    assert (order.origin, order.status, order.code, order.filled_quantity) == ("broker", "filled", "TAKEN_OVER", D(7))
    assert (Fill.objects.get().price, Account.objects.get().cash) == (D(103), D(100_000 - 721))
    assert not CashMovement.objects.exists()


def test_ids_follow_from_what_they_stand_for(book: Book, place: Place) -> None:
    def ids() -> set[Any]:
        return {*Order.objects.values_list("pk", flat=True), *CashMovement.objects.values_list("pk", flat=True)}

    book.take({**OUTSIDE, "client_order_id": "by hand"})
    book.positions["ACME"] = D(5)
    book.cash -= 1000
    taken = []
    for _ in range(2):
        with transaction.atomic():
            run()
            taken.append(ids())
            transaction.set_rollback(True)
    assert len(taken[0]) == 3
    assert taken[0] == taken[1]


def test_a_symbol_that_the_desk_does_not_know_blocks_and_is_not_made_up(book: Book, account: Account) -> None:
    book.positions["STRANGE"] = D(5)
    assert run().adopted == ()
    assert blocks() == {"POSITION_DIFFERS"}
    rows = everything()
    assert [str(each) for each in run().differences] == ["STRANGE: 0 here, 5 at the broker"]
    assert everything() == rows
    assert not Order.objects.exists()


def test_an_order_made_outside_with_a_long_id_is_taken_over_and_followed_to_its_end(
    book: Book, account: Account
) -> None:
    name = "x" * 128
    book.take({**OUTSIDE, "client_order_id": name})
    assert run().adopted == (f"order {name} is taken over",)
    book.fill(name, "7", "90")
    services.orders_settle(wall=utcnow())
    order = Order.objects.get()
    assert (order.client_order_id, order.status, order.origin) == (name, "filled", "broker")
    assert agree(book)
    rows = everything()
    run()
    assert everything() == rows


def test_an_order_made_outside_whose_id_no_column_holds_blocks_and_is_not_taken_over(
    book: Book, account: Account
) -> None:
    book.take({**OUTSIDE, "client_order_id": "x" * 256})
    result = run()
    assert (result.compared, result.adopted, blocks()) == (True, (), {"ORDER_UNKNOWN_TO_DESK"})
    rows = everything()
    run()
    assert everything() == rows
    assert not Order.objects.exists()


@pytest.mark.parametrize("error", [DataError("value too long"), Unavailable("no prices")])
def test_an_account_that_cannot_be_compared_does_not_keep_the_others_from_it(
    book: Book, account: Account, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    Account.objects.create(name="Another", cash=1, starting_cash=1)
    whole = reconciliation.account_reconcile

    def but_one(**said: Any) -> services.Reconciliation:
        if said["account"].pk == account.pk:
            raise error
        return whole(**said)

    monkeypatch.setattr(reconciliation, "account_reconcile", but_one)
    results = {each.account: each for each in services.accounts_reconcile()}
    assert (results["Another"].compared, results[account.name].compared) == (True, False)
    assert str(error) in results[account.name].problem


def test_what_rests_at_the_broker_though_it_was_given_up_is_taken_back(book: Book, place: Place) -> None:
    an_order_given_up_that_rests_there(book, place)
    run()
    assert [row["status"] for row in book.orders.values()] == ["canceled"]


def test_a_cent_of_rounding_is_no_mismatch(book: Book, account: Account) -> None:
    book.cash += D("0.99")
    assert run().differences == ()
    assert Account.objects.get().cash == D(100_000)


# ------------------------------------------------------------------------------------------------------- no certainty


@pytest.mark.parametrize("kind", ["account", "positions", "open_orders", "order"])
@pytest.mark.parametrize("fault", ["500", "garbage", "close", "404", "hang"])
def test_a_broker_that_cannot_be_read_is_never_taken_for_one_that_agrees(
    book: Book, place: Place, account: Account, kind: str, fault: str
) -> None:
    place(order_type="limit", limit_price=D(90))
    book.positions["ACME"] = D(5)
    book.fail(kind, f"{fault} before")
    result = run()
    assert (result.compared, bool(result.problem), result.adopted) == (False, True, ())
    assert blocks() == {"BROKER_UNREACHABLE"}
    assert not Position.objects.exclude(quantity=0).exists()
    assert place(client_order_id="blocked", quantity=D(1)).code == "RECONCILIATION_PENDING"


def test_a_broker_that_answers_again_takes_its_own_block_away(book: Book, place: Place) -> None:
    book.fail("account", "500 before")
    run()
    assert blocks() == {"BROKER_UNREACHABLE"}
    assert run().compared
    assert blocks() == set()
    assert place().status == "filled"


def test_books_that_move_while_they_are_compared_are_compared_again(
    book: Book, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(order_type="limit", limit_price=D(90))
    held = book.held

    def and_fill() -> Any:
        answer = held()
        if not book.fills:
            book.fill("one", "10", "90")
        return answer

    book.held = and_fill  # type: ignore[method-assign]
    assert run().differences == ()
    assert agree(book)


def test_books_that_never_stand_still_are_not_called_equal(
    book: Book, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = iter(range(1000))
    monkeypatch.setattr(reconciliation, "_stamp", lambda account: next(counter))
    result = run()
    assert (result.compared, blocks()) == (False, set())
    assert "still" in result.problem


# ---------------------------------------------------------------------------------------------------- fills come late


def test_shares_whose_fill_has_not_been_told_yet_are_not_taken_over_and_counted_once(book: Book, place: Place) -> None:
    place(order_type="limit", limit_price=D(90))
    book.fill("one", "10", "90")
    book.late_fills = True
    result = run()
    assert (result.compared, result.differences, blocks()) == (False, (), set())
    assert "one" in result.problem
    assert not Position.objects.exclude(quantity=0).exists()
    book.late_fills = False
    assert run().differences == ()
    assert (Position.objects.get().quantity, Order.objects.count()) == (D(10), 1)
    assert agree(book)


def test_late_fills_of_an_order_that_had_ended_are_waited_for_as_well(book: Book, place: Place) -> None:
    a_fill_after_the_end(book, place)
    book.late_fills = True
    assert (run().compared, blocks()) == (False, set())
    book.late_fills = False
    assert [each.kind.value for each in run().differences] == ["ORDER_FILLS_DIFFER"]
    assert (Position.objects.get().quantity, Order.objects.count()) == (D(4), 1)
    assert agree(book)


def test_a_broker_that_takes_no_more_requests_for_now_blocks_nothing(book: Book, account: Account) -> None:
    book.fail("account", "429 30 before")
    for _ in range(2):
        result = run()
        assert (result.compared, "Too many requests" in result.problem) == (False, True)
    assert (blocks(), AlertEvent.objects.count(), book.calls.count("account")) == (set(), 0, 1)


def test_a_broker_that_stays_away_is_told_of_once(book: Book, account: Account) -> None:
    book.fail("account", "500 before", "502 before")
    run()
    rows = everything()
    assert not run().compared
    assert everything() == rows
    assert AlertEvent.objects.count() == 1


# --------------------------------------------------------------------------------------------------------- at the start


def test_the_first_order_of_a_process_is_compared_first(book: Book, place: Place) -> None:
    reconciled.forget()
    book.positions["ACME"] = D(5)
    book.cash -= 515
    order = place()
    assert (order.status, order.code) == ("denied", "RECONCILIATION_PENDING")
    assert blocks() == {"POSITION_DIFFERS"}
    book.calls.clear()
    place(client_order_id="two")
    assert "positions" not in book.calls, "once in a process is enough"


def test_a_process_that_cannot_compare_sends_nothing_and_tries_again(book: Book, place: Place) -> None:
    reconciled.forget()
    book.fail("account", "500 before")
    assert place().code == "RECONCILIATION_PENDING"
    assert book.attempts == {}
    assert place(client_order_id="two", quantity=D(11)).status == "filled"


def test_the_paper_book_agrees_with_the_desk_and_is_compared_too(place: Place, acme: Any, account: Account) -> None:
    place()
    assert run().differences == ()
    PaperFill.objects.update(quantity=D(12))
    assert {each.kind.value for each in run().differences} == {"POSITION_DIFFERS"}


# ------------------------------------------------------------------------------------------------------------- doors


def test_the_command_shows_what_differs_and_ends_with_1(book: Book, account: Account) -> None:
    out = StringIO()
    call_command("reconcile", stdout=out)
    assert "The books agree." in out.getvalue()
    book.cash += 500
    with pytest.raises(CommandError, match="1 of 1 accounts"):
        call_command("reconcile", stdout=out)
    assert "CASH_DIFFERS" in out.getvalue()
    assert "500 USD are taken over" in out.getvalue()
    out = StringIO()
    call_command("reconcile", stdout=out)
    assert "blocked account" in out.getvalue()


def test_the_job_tells_what_it_took_over_and_fails_without_an_answer(book: Book, account: Account) -> None:
    job = job_types.get("portfolio.reconcile")()
    book.cash += 500
    told = job.run(actor=DESK, config={})
    assert told["differences"] == ["Paper account: CASH_DIFFERS 100000 here, 100500 at the broker"]
    book.fail("account", "500 before")
    with pytest.raises(Unavailable, match="Paper account"):
        job.run(actor=DESK, config={})
