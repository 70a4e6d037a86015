"""The alerts socket: refused without the right, told of every alert, told again what it missed."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from safety import services
from safety.routing import websocket_urlpatterns
from tradingsite.common.actor import Actor

DESK = Actor.system("test")


async def connected(user: Any) -> WebsocketCommunicator:
    socket = WebsocketCommunicator(URLRouter(websocket_urlpatterns), "/ws/alerts")
    socket.scope["user"] = user
    assert (await socket.connect())[0]
    return socket


@sync_to_async
def alert(name: str) -> Any:
    return services.alert_raise(kind="notify", name=name, severity="info", message="m", actor=DESK)


@pytest.mark.django_db(transaction=True)
async def test_without_credentials_the_socket_is_closed_with_4401() -> None:
    socket = await connected(AnonymousUser())
    assert await socket.receive_output() == {"type": "websocket.close", "code": 4401}


@pytest.mark.django_db(transaction=True)
async def test_an_alert_reaches_a_connected_client_and_so_does_its_acknowledgement(
    viewer: AbstractBaseUser, operator_actor: Actor
) -> None:
    socket = await connected(viewer)
    assert await socket.receive_json_from() == {"type": "hello", "seq": 0}
    event = await alert("first")
    message = await socket.receive_json_from()
    assert (message["type"], message["seq"], message["name"], message["severity"]) == ("alert", 1, "first", "info")
    assert set(message) >= {"id", "alert_id", "name", "severity", "kind", "symbol", "value", "threshold", "message"}
    await sync_to_async(services.alert_acknowledge)(actor=operator_actor, alert_id=event.pk)
    message = await socket.receive_json_from()
    assert (message["type"], message["seq"], message["id"]) == ("alert_acknowledged", 2, str(event.pk))
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_a_client_gets_what_it_missed(viewer: AbstractBaseUser) -> None:
    for name in ("first", "second", "third"):
        await alert(name)
    socket = await connected(viewer)
    assert await socket.receive_json_from() == {"type": "hello", "seq": 3}
    await socket.send_json_to({"type": "replay", "after": 1})
    assert [(await socket.receive_json_from())["name"] for _ in range(2)] == ["second", "third"]
    await socket.disconnect()
