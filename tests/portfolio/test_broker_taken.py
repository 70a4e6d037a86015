"""The settings name one account at the broker, so one account of the desk has it."""

import threading
from collections.abc import Callable
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, connections

from portfolio import accounts, services
from portfolio.errors import BrokerTaken
from portfolio.models import Account
from tradingsite.common.actor import Actor

D = Decimal


def at_alpaca(name: str) -> Account:
    return Account(name=name, broker="alpaca", starting_cash=D(1000))


@pytest.mark.django_db
def test_a_second_account_at_the_same_broker_is_refused_and_told_what_to_do(actor: Actor) -> None:
    first = services.account_save(actor=actor, account=at_alpaca("First"))
    with pytest.raises(BrokerTaken) as refused:
        services.account_save(actor=actor, account=at_alpaca("Second"))
    error = refused.value
    assert (error.code, error.status, error.errors[0].pointer) == ("BROKER_TAKEN", 409, "broker")
    assert error.extra == {"account_id": str(first.pk), "account": "First"}
    assert "Keep Second on paper, or set First to paper first." in error.detail
    assert list(Account.objects.values_list("name", flat=True)) == ["First"]


@pytest.mark.django_db
def test_a_paper_account_cannot_be_moved_to_a_broker_that_is_taken(actor: Actor) -> None:
    services.account_save(actor=actor, account=at_alpaca("First"))
    second = services.account_save(actor=actor, account=Account(name="Second", starting_cash=D(1000)))
    second.broker = "alpaca"
    with pytest.raises(BrokerTaken):
        services.account_save(actor=actor, account=second)
    assert Account.objects.get(name="Second").broker == "paper"


@pytest.mark.django_db
def test_the_account_that_has_it_is_changed_freely_and_gives_it_away(actor: Actor) -> None:
    first = services.account_save(actor=actor, account=at_alpaca("First"))
    first.fee_rate = D(0)
    services.account_save(actor=actor, account=first)
    first.broker = "paper"
    services.account_save(actor=actor, account=first)
    assert services.account_save(actor=actor, account=at_alpaca("Second")).broker == "alpaca"


@pytest.mark.django_db
def test_any_number_of_accounts_may_be_on_paper(actor: Actor) -> None:
    for name in ("First", "Second", "Third"):
        services.account_save(actor=actor, account=Account(name=name, starting_cash=D(1000)))
    assert Account.objects.filter(broker="paper").count() == 3


FORM = {
    "name": "Second",
    "currency": "USD",
    "mode": "paper",
    "broker": "alpaca",
    "starting_cash": "1000",
    "fee_rate": "0",
    "slippage": "0",
}


@pytest.mark.django_db
def test_the_admin_refuses_it_in_the_form(actor: Actor, browser: Callable[..., Any]) -> None:
    services.account_save(actor=actor, account=at_alpaca("First"))
    answer = browser("admin").post("/admin/portfolio/account/add/", FORM)
    assert answer.status_code == 200
    assert b"Another account trades there already" in answer.content
    assert Account.objects.count() == 1


@pytest.mark.django_db
def test_the_admin_says_so_too_when_it_is_taken_after_the_form_was_looked_at(
    actor: Actor, browser: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    services.account_save(actor=actor, account=at_alpaca("First"))
    monkeypatch.setattr(Account, "validate_constraints", lambda self, exclude=None: None)
    answer = browser("admin").post("/admin/portfolio/account/add/", FORM, follow=True)
    assert b"BROKER_TAKEN: Account First trades at Alpaca already" in answer.content
    assert Account.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_desk_that_has_two_already_is_told_what_to_do_before_it_is_migrated(db: None) -> None:
    constraint = next(each for each in Account._meta.constraints if each.name == "account_one_at_alpaca")
    with connection.schema_editor() as editor:
        editor.remove_constraint(Account, constraint)
    try:
        for name in ("First", "Second"):
            Account.objects.create(name=name, broker="alpaca", starting_cash=D(1), cash=D(1))
        with pytest.raises(RuntimeError, match=r"First, Second .* Set all but one of them to the paper broker"):
            import_module("portfolio.migrations.0010_one_account_at_a_broker").refuse_two(apps, None)
    finally:
        Account.objects.all().delete()
        with connection.schema_editor() as editor:
            editor.add_constraint(Account, constraint)


# ------------------------------------------------------------------------------------------------------ at the same time


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each save, once it has seen that the broker is free, wait until the other one has seen it too."""
    meeting, refuse, mine = threading.Barrier(2), accounts._refuse_taken, threading.local()

    def slow(account: Account) -> None:
        refuse(account)
        if not getattr(mine, "met", False):
            mine.met = True
            meeting.wait(10)

    monkeypatch.setattr(accounts, "_refuse_taken", slow)


def both() -> list[str]:
    said: list[str] = []

    def save(name: str) -> None:
        try:
            services.account_save(actor=Actor.system("test"), account=at_alpaca(name))
        except (BrokerTaken, IntegrityError) as error:
            said.append(type(error).__name__)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=save, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return said


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("look")
def test_of_two_that_take_it_at_once_one_gets_it_and_the_other_is_told() -> None:
    assert both() == ["BrokerTaken"]
    assert Account.objects.filter(broker="alpaca").count() == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("look")
def test_control_without_the_constraint_both_get_it() -> None:
    constraint = next(each for each in Account._meta.constraints if each.name == "account_one_at_alpaca")
    with connection.schema_editor() as editor:
        editor.remove_constraint(Account, constraint)
    try:
        assert both() == []
        assert Account.objects.filter(broker="alpaca").count() == 2
    finally:
        Account.objects.all().delete()
        with connection.schema_editor() as editor:
            editor.add_constraint(Account, constraint)
