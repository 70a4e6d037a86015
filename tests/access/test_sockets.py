"""Tickets: one socket, once, within a minute."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import connections
from rest_framework.test import APIClient

from tests.conftest import user_with_role
from tradingsite.common import clock
from tradingsite.common.access.services import ticket_issue, ticket_redeem
from tradingsite.common.access.sockets import OriginGuard, actor_from_scope
from tradingsite.common.actor import Actor
from tradingsite.common.models import SocketTicket
from tradingsite.common.roles import Role


def scope(query: str = "", user: Any = None) -> dict[str, Any]:
    return {"type": "websocket", "query_string": query.encode("latin-1"), "user": user or AnonymousUser()}


@pytest.mark.django_db
def test_a_ticket_opens_once_in_the_name_of_who_took_it(
    api: Callable[..., APIClient], trader: AbstractBaseUser
) -> None:
    answer = api(trader).post("/api/auth/ws-ticket")
    assert answer.status_code == 201
    ticket = answer.json()["ticket"]
    actor = actor_from_scope(scope(f"ticket={ticket}"))
    assert actor == Actor(kind="user", name="trader", user_id=trader.pk, role=Role.TRADER)
    assert actor_from_scope(scope(f"ticket={ticket}")) is None
    assert ticket not in "".join(str(value) for value in SocketTicket.objects.values_list().get())


@pytest.mark.django_db
def test_a_ticket_ends_after_a_minute(trader: AbstractBaseUser, frozen_clock: Callable[..., None]) -> None:
    ticket, expires_at = ticket_issue(actor=Actor.for_user(trader))
    assert expires_at == clock.utcnow() + timedelta(seconds=60)
    frozen_clock(expires_at)
    assert ticket_redeem(ticket) is None


@pytest.mark.django_db
def test_a_ticket_follows_the_user_down(operator: AbstractBaseUser) -> None:
    first, second, third = (ticket_issue(actor=Actor.for_user(operator))[0] for _ in range(3))
    operator.groups.set(user_with_role(Role.VIEWER, "other").groups.all())
    redeemed = ticket_redeem(first)
    assert redeemed is not None
    assert redeemed.role is Role.VIEWER
    operator.groups.clear()
    assert ticket_redeem(second) is None
    operator.is_active = False
    operator.save()
    assert ticket_redeem(third) is None


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["", "ticket=", "ticket=x", "ticket=%00", "ticket=%ff%fe", "other=1", "ticket=\xe9"])
def test_without_a_good_ticket_nobody_comes_in(query: str) -> None:
    assert actor_from_scope(scope(query)) is None


@pytest.mark.django_db
def test_a_session_comes_in_but_does_not_stand_in_for_a_bad_ticket(viewer: AbstractBaseUser) -> None:
    actor = actor_from_scope(scope(user=viewer))
    assert actor is not None
    assert (actor.name, actor.role) == ("viewer", Role.VIEWER)
    assert actor_from_scope(scope("ticket=x", user=viewer)) is None


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_ten_sockets_with_one_ticket_one_comes_in() -> None:
    ticket, _ = ticket_issue(actor=Actor.for_user(user_with_role(Role.VIEWER)))
    start, found = threading.Barrier(10), []

    def redeem() -> None:
        start.wait()
        found.append(ticket_redeem(ticket))
        connections.close_all()

    threads = [threading.Thread(target=redeem) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 10
    assert len([actor for actor in found if actor is not None]) == 1


# A refused socket ends as any consumer does: with a look at the connections that its thread has open.
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ([], True),
        ([(b"origin", b"http://desk.example")], True),
        ([(b"origin", b"http://elsewhere.example")], False),
        ([(b"origin", b"null")], False),
    ],
    ids=["a program", "the site's own page", "a page of another site", "a page that hides where it is from"],
)
async def test_only_pages_of_other_sites_are_kept_from_the_sockets(
    settings: Any, headers: list[tuple[bytes, bytes]], passes: bool
) -> None:
    settings.ALLOWED_HOSTS = ["desk.example"]
    reached: list[bool] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        reached.append(True)

    coming = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])

    async def receive() -> dict[str, Any]:
        return next(coming)

    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await OriginGuard(application)({"type": "websocket", "path": "/", "headers": headers}, receive, send)
    assert bool(reached) is passes
    assert [message["type"] for message in sent] == ([] if passes else ["websocket.close"])
