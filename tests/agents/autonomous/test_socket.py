"""`/ws/agent`: every message of a run once and in order, also for who was away in the middle."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from agents.autonomous.models import AgentRun
from agents.routing import websocket_urlpatterns
from tests.agents.autonomous.conftest import AgentDesk
from tradingsite.common.models import LiveEvent

pytestmark = pytest.mark.django_db(transaction=True)
# run_started, six phases that begin and end, two decisions, an order, run_finished.
MESSAGES = 17


async def connected(user: Any) -> WebsocketCommunicator:
    socket = WebsocketCommunicator(URLRouter(websocket_urlpatterns), "/ws/agent")
    socket.scope["user"] = user
    assert (await socket.connect())[0]
    return socket


async def test_without_credentials_the_socket_is_closed_with_4401() -> None:
    socket = await connected(AnonymousUser())
    assert await socket.receive_output() == {"type": "websocket.close", "code": 4401}


async def test_who_comes_back_in_the_middle_of_a_run_hears_every_message_once_and_in_order(
    desk: AgentDesk, viewer: AbstractBaseUser
) -> None:
    socket = await connected(viewer)
    assert await socket.receive_json_from() == {"type": "hello", "seq": 0}
    run: AgentRun = await sync_to_async(desk.start)()
    heard = [await socket.receive_json_from()]
    # Away while the run goes on: closing the socket stops nothing.
    await socket.disconnect()
    await sync_to_async(desk.carry)(run)
    socket = await connected(viewer)
    hello = await socket.receive_json_from()
    assert hello["seq"] == MESSAGES
    await socket.send_json_to({"type": "replay", "after": heard[-1]["seq"]})
    heard += [await socket.receive_json_from() for _ in range(MESSAGES - 1)]
    assert await socket.receive_nothing()
    await socket.disconnect()
    assert [message["seq"] for message in heard] == list(range(1, MESSAGES + 1))
    assert {message["run_id"] for message in heard} == {str(run.pk)}
    assert [message["type"] for message in heard if message["type"] != "phase"] == [
        "run_started", "decision", "decision", "order", "run_finished",
    ]  # fmt: skip
    finished = heard[-1]
    assert finished["report"]["status"] == "completed"
    assert finished["report"]["orders"][0]["status"] == "filled"
    assert await LiveEvent.objects.filter(stream="agent").acount() == MESSAGES


async def test_who_stays_hears_the_phases_as_they_come(desk: AgentDesk, viewer: AbstractBaseUser) -> None:
    socket = await connected(viewer)
    await socket.receive_json_from()
    run: AgentRun = await sync_to_async(desk.start)()
    await sync_to_async(desk.carry)(run)
    heard = [await socket.receive_json_from() for _ in range(MESSAGES)]
    phases = [(message["phase"], message["status"]) for message in heard if message["type"] == "phase"]
    assert phases[:4] == [
        ("observe", "running"), ("observe", "completed"), ("analyse", "running"), ("analyse", "completed"),
    ]  # fmt: skip
    assert phases[-1] == ("reflect", "completed")
    await socket.disconnect()
