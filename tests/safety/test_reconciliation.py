"""An account whose books differ from its broker's trades nothing until the difference is cleared."""

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from portfolio.choices import OrderStatus
from portfolio.models import Account, Order, PaperOrder
from safety import selectors, services
from safety.models import AuditLog, ReconciliationBlock
from tests.portfolio.conftest import account, acme, place, prices  # noqa: F401
from tests.safety.cases import EXPOSURE, INTENT
from tradingsite.common.actor import Actor

DESK = Actor.system("reconciliation")


def block(code: str = "CASH_MISMATCH", detail: str = "the broker holds 10.00 less") -> bool:
    return services.reconciliation_block(actor=DESK, account_id=INTENT.account_id, code=code, detail=detail)


@pytest.mark.django_db
def test_blocking_twice_for_the_same_reason_writes_nothing_the_second_time() -> None:
    assert block()
    since = ReconciliationBlock.objects.get().since
    written = AuditLog.objects.count()
    assert not block()
    assert (ReconciliationBlock.objects.get().since, AuditLog.objects.count()) == (since, written)


@pytest.mark.django_db
def test_another_detail_of_the_same_reason_is_kept_with_the_first_time() -> None:
    block()
    since = ReconciliationBlock.objects.get().since
    assert block(detail="the broker holds 20.00 less")
    row = ReconciliationBlock.objects.get()
    assert (row.since, row.detail) == (since, "the broker holds 20.00 less")
    assert (row.first_detail, row.times) == ("the broker holds 10.00 less", 2)
    assert row.last_at > since
    assert row.story == "the broker holds 20.00 less (the last of 2; the first: the broker holds 10.00 less)"
    assert not block(detail="the broker holds 20.00 less"), "the same again is no news"
    assert ReconciliationBlock.objects.get().times == 2


@pytest.mark.django_db
def test_only_the_reasons_that_no_longer_hold_are_cleared() -> None:
    block()
    block("POSITION_MISMATCH")
    cleared = services.reconciliation_clear(
        actor=DESK, account_id=INTENT.account_id, codes=["CASH_MISMATCH", "NEVER_SET"], reason="the cash agrees"
    )
    assert cleared == ["CASH_MISMATCH"]
    assert [row.code for row in selectors.reconciliation_blocks()] == ["POSITION_MISMATCH"]
    assert services.reconciliation_clear(actor=DESK, account_id=uuid4(), reason="not ours") == []
    entry = AuditLog.objects.filter(action="reconciliation.clear").get()
    assert (entry.reason, entry.before["code"]) == ("the cash agrees", "CASH_MISMATCH")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("acme")
def test_no_order_of_a_blocked_account_reaches_the_broker_until_it_is_cleared(
    place: Callable[..., Order],  # noqa: F811
    account: Account,  # noqa: F811
) -> None:
    said = {"actor": DESK, "account_id": account.pk}
    services.reconciliation_block(**said, code="POSITION_MISMATCH", detail="ACME: 10 here, 0 at the broker")
    order = place()
    assert (order.status, order.code) == (OrderStatus.DENIED, "RECONCILIATION_PENDING")
    assert order.detail == "POSITION_MISMATCH: ACME: 10 here, 0 at the broker."
    assert not PaperOrder.objects.exists()
    services.reconciliation_clear(**said, reason="adopted")
    assert place(client_order_id="two").code == ""


@pytest.mark.django_db
def test_a_block_of_one_account_leaves_the_others_free() -> None:
    block()
    free = replace(INTENT, account_id=uuid4())
    verdict = services.order_check(intent=free, exposure=EXPOSURE, actor=DESK, consume=False)
    assert verdict.code == ""


@pytest.mark.django_db
def test_the_status_names_each_blocked_account_with_its_reason(api: Callable[..., APIClient]) -> None:
    block()
    [found] = api("viewer").get("/api/safety").json()["reconciliation_blocks"]
    assert (found["account_id"], found["code"]) == (str(INTENT.account_id), "CASH_MISMATCH")
    assert found["since"].endswith("Z")
    block(detail="the broker holds 20.00 less")
    [again] = api("viewer").get("/api/safety").json()["reconciliation_blocks"]
    assert (again["times"], again["first_detail"], again["detail"]) == (
        2,
        found["detail"],
        "the broker holds 20.00 less",
    )
    assert again["since"] == found["since"] == found["last_at"] < again["last_at"]
