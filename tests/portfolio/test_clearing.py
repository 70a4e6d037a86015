"""Only a person clears what blocks an account: with a reason, by one service behind every door, while the books agree."""

from collections.abc import Callable
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from portfolio import services
from portfolio.models import Account, Order
from safety.errors import (
    ReconciliationNotBlocked,
    ReconciliationNotCompared,
    ReconciliationStillDiffers,
    ResumeNeedsPerson,
)
from safety.models import AlertEvent, AuditLog, ReconciliationBlock
from safety.services import reconciliation_block, reconciliation_clear_by_person
from tests.support.alpaca import Book
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import ValidationFailed
from tradingsite.common.roles import Role

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]
PATH = "/api/safety/reconciliation/clear"
CASH = "CASH_DIFFERS"


def run() -> services.Reconciliation:
    return services.account_reconcile(account=Account.objects.get(), wall=utcnow())


def blocks() -> set[str]:
    return set(ReconciliationBlock.objects.values_list("code", flat=True))


@pytest.fixture
def deposit(book: Book, account: Account) -> Account:
    """Cash came in at the broker, was taken over, and blocks the account."""
    book.cash += Decimal(500)
    run()
    assert blocks() == {CASH}
    return account


def clear(actor: Actor, account: Account, *codes: str, reason: str = "a deposit of Monday") -> Any:
    return reconciliation_clear_by_person(actor=actor, account_id=account.pk, codes=codes or (CASH,), reason=reason)


def test_what_an_operator_clears_is_told_and_written_down_with_before_and_after(
    deposit: Account, place: Place, operator_actor: Actor
) -> None:
    reconciliation_block(actor=operator_actor, account_id=deposit.pk, code="POSITION_DIFFERS", detail="ACME")
    assert [row.code for row in clear(operator_actor, deposit)] == ["POSITION_DIFFERS"]
    entry = AuditLog.objects.get(action="reconciliation.clear")
    assert (entry.actor_name, entry.actor_kind, entry.reason) == ("operator", "user", "a deposit of Monday")
    assert (entry.before["code"], entry.before["detail"]) == (CASH, "100000 here, 100500 at the broker")
    assert entry.after["still_blocked_for"] == ["POSITION_DIFFERS"]
    told = AlertEvent.objects.filter(name="Reconciliation: cleared").get()
    assert "operator cleared CASH_DIFFERS" in told.message
    assert "still blocked for POSITION_DIFFERS" in told.message
    assert place(client_order_id="too early").code == "RECONCILIATION_PENDING"
    assert clear(operator_actor, deposit, "POSITION_DIFFERS") == []
    assert place(client_order_id="free").code == ""


def test_a_program_a_trader_and_a_key_clear_nothing(deposit: Account, trader: Any) -> None:
    key = Actor(kind="api_key", name="key", role=Role.ADMIN)
    for who in (Actor.system("x"), Actor.for_user(trader), key):
        with pytest.raises(ResumeNeedsPerson):
            clear(who, deposit)
    assert blocks() == {CASH}


def test_without_a_reason_or_a_code_nothing_is_cleared(deposit: Account, operator_actor: Actor) -> None:
    with pytest.raises(ValidationFailed):
        clear(operator_actor, deposit, reason="  ")
    with pytest.raises(ValidationFailed):
        reconciliation_clear_by_person(actor=operator_actor, account_id=deposit.pk, codes=[], reason="all of them")
    assert blocks() == {CASH}


def test_of_several_codes_all_are_cleared_or_none(deposit: Account, operator_actor: Actor) -> None:
    with pytest.raises(ReconciliationNotBlocked, match="blocked for POSITION_DIFFERS"):
        clear(operator_actor, deposit, CASH, "POSITION_DIFFERS")
    assert blocks() == {CASH}


def test_nothing_is_cleared_while_the_books_differ_and_what_was_found_is_to_be_looked_at_first(
    deposit: Account, book: Book, operator_actor: Actor
) -> None:
    book.cash -= Decimal(90)
    with pytest.raises(ReconciliationStillDiffers, match="CASH_DIFFERS: 100500 here, 100410 at the broker"):
        clear(operator_actor, deposit)
    assert blocks() == {CASH}
    assert clear(operator_actor, deposit) == [], "it was taken over meanwhile, so that the books agree"


def test_a_difference_that_nobody_can_take_over_holds_until_it_is_gone(
    book: Book, account: Account, operator_actor: Actor
) -> None:
    book.positions["NOTOURS"] = Decimal(3)
    run()
    for _ in range(2):
        with pytest.raises(ReconciliationStillDiffers, match="NOTOURS"):
            clear(operator_actor, account, "POSITION_DIFFERS")
    del book.positions["NOTOURS"]
    assert clear(operator_actor, account, "POSITION_DIFFERS") == []


def test_nothing_is_cleared_while_the_broker_does_not_answer(
    deposit: Account, book: Book, operator_actor: Actor
) -> None:
    book.fail("account", "500 before")
    with pytest.raises(ReconciliationNotCompared):
        clear(operator_actor, deposit)
    assert blocks() == {CASH, "BROKER_UNREACHABLE"}
    assert clear(operator_actor, deposit, CASH, "BROKER_UNREACHABLE") == []


def test_what_changes_while_the_broker_is_asked_is_not_cleared_unseen(
    deposit: Account, operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safety import comparison

    def meanwhile(actor: Actor, account_id: Any) -> comparison.Comparison:
        reconciliation_block(actor=actor, account_id=account_id, code=CASH, detail="another 90")
        return comparison.Comparison(compared=True)

    monkeypatch.setattr(comparison, "_compare", meanwhile)
    with pytest.raises(ReconciliationStillDiffers, match="changed meanwhile"):
        clear(operator_actor, deposit)
    assert ReconciliationBlock.objects.get().detail == "another 90"


# ------------------------------------------------------------------------------------------------------------- doors


def test_the_api_clears_for_an_operator_and_says_what_still_blocks(
    deposit: Account, book: Book, api: Callable[..., APIClient]
) -> None:
    body = {"account_id": str(deposit.pk), "codes": [CASH], "reason": "a deposit of Monday"}
    assert api("trader").post(PATH, body, format="json").status_code == 403
    for wrong in ({**body, "reason": ""}, {**body, "codes": []}, {**body, "force": True}):
        assert api("operator").post(PATH, wrong, format="json").status_code == 400
    book.cash += Decimal(1000)
    refused = api("operator").post(PATH, body, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "RECONCILIATION_STILL_DIFFERS")
    book.fail("account", "500 before")
    unsure = api("operator").post(PATH, body, format="json")
    assert (unsure.status_code, unsure.json()["code"]) == (503, "RECONCILIATION_NOT_COMPARED")
    answer = api("operator").post(PATH, body, format="json")
    assert (answer.status_code, answer.json()["reconciliation_blocks"]) == (200, [])
    assert AuditLog.objects.filter(action="reconciliation.clear", actor_name="operator", door="request").exists()
    again = api("operator").post(PATH, body, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "RECONCILIATION_NOT_BLOCKED")


def test_the_admin_clears_with_a_reason_and_by_an_operator(deposit: Account, browser: Callable[..., Client]) -> None:
    page = reverse("admin:safety_reconciliationblock_changelist")
    body = {"action": "clear", "_selected_action": [ReconciliationBlock.objects.get().pk]}
    said = browser("admin").post(page, {**body, "reason": ""}, follow=True).content.decode()
    assert said.count("Say why it is safe to go on.") == 1
    browser("trader").post(page, {**body, "reason": "mine"}, follow=True)
    assert blocks() == {CASH}
    said = browser("admin").post(page, {**body, "reason": "a deposit"}, follow=True).content.decode()
    assert "cleared CASH_DIFFERS" in said
    assert blocks() == set()


def test_the_command_clears_in_the_name_of_a_real_user_with_the_right(
    deposit: Account, operator: Any, trader: Any
) -> None:
    said: dict[str, Any] = {"account": "Paper account", "clear": [CASH]}
    for missing in ({}, {"reason": "x"}, {"user": "operator"}, {"user": "operator", "reason": " "}):
        with pytest.raises(CommandError, match="--user and --reason"):
            call_command("reconcile", **said, **missing)
    for user, message in (("nobody", "no active user"), ("trader", "RESUME_NEEDS_PERSON")):
        with pytest.raises(CommandError, match=message):
            call_command("reconcile", **said, user=user, reason="a deposit")
    operator.is_active = False
    operator.save()
    with pytest.raises(CommandError, match="no active user"):
        call_command("reconcile", **said, user="operator", reason="a deposit")
    assert blocks() == {CASH}
    operator.is_active = True
    operator.save()
    out = StringIO()
    call_command("reconcile", **said, user="operator", reason="a deposit of Monday", stdout=out)
    assert "Cleared CASH_DIFFERS of Paper account." in out.getvalue()
    assert AuditLog.objects.get(action="reconciliation.clear").actor_name == "operator"
    with pytest.raises(CommandError, match="RECONCILIATION_NOT_BLOCKED"):
        call_command("reconcile", **said, user="operator", reason="again")
