"""`/ws/optimize`: one's own optimisations, for an operator everybody's, and again what was missed."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from optimize.choices import JobKind
from optimize.routing import websocket_urlpatterns
from optimize.services import job_cancel, job_create
from tests.optimize.conftest import Counting
from tradingsite.common.actor import Actor

pytestmark = pytest.mark.django_db(transaction=True)


async def connected(user: Any) -> WebsocketCommunicator:
    socket = WebsocketCommunicator(URLRouter(websocket_urlpatterns), "/ws/optimize")
    socket.scope["user"] = user
    assert (await socket.connect())[0]
    return socket


@sync_to_async
def asked_and_cancelled(user: AbstractBaseUser) -> str:
    actor = Actor.for_user(user)
    job = job_create(actor=actor, kind=JobKind.STRATEGY, body={"total": 7, "size": 7})
    job_cancel(actor=actor, job=job)
    return str(job.pk)


async def test_without_credentials_the_socket_is_closed_with_4401() -> None:
    socket = await connected(AnonymousUser())
    assert await socket.receive_output() == {"type": "websocket.close", "code": 4401}


async def test_a_person_hears_of_their_own_jobs_alone_and_an_operator_of_all(
    trader: AbstractBaseUser, operator: AbstractBaseUser, viewer: AbstractBaseUser, counting: Counting
) -> None:
    sockets = [await connected(user) for user in (trader, operator, viewer)]
    for socket in sockets:
        assert (await socket.receive_json_from())["type"] == "hello"
    job = await asked_and_cancelled(trader)
    for socket in sockets[:2]:
        told = [await socket.receive_json_from() for _ in range(2)]
        assert [message["status"] for message in told] == ["running", "cancelled"]
        assert {message["job_id"] for message in told} == {job}
        assert told[0].items() >= {"type": "progress", "combo": 0, "total": 7, "fold": 0, "n_folds": 2}.items()
    assert await sockets[2].receive_nothing()
    for socket in sockets:
        await socket.disconnect()


async def test_a_person_gets_what_they_missed_by_number(trader: AbstractBaseUser, counting: Counting) -> None:
    job = await asked_and_cancelled(trader)
    socket = await connected(trader)
    assert await socket.receive_json_from() == {"type": "hello", "seq": 2}
    await socket.send_json_to({"type": "replay", "after": 1})
    message = await socket.receive_json_from()
    assert (message["seq"], message["job_id"], message["status"]) == (2, job, "cancelled")
    await socket.disconnect()
