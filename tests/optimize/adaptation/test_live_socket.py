"""`/ws/optimize` tells of adaptations with the fields of the contract, and again what was missed."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from market.bars import from_ns
from optimize.adaptation.models import LiveAdaptation
from optimize.adaptation.telling import tell_regime
from tests.optimize.adaptation.conftest import BETTER, Desk
from tests.optimize.test_socket import connected
from tradingsite.common.live.events import stream_position

pytestmark = pytest.mark.django_db(transaction=True)


def round_and_regime(desk: Desk) -> LiveAdaptation:
    adaptation = desk.start(regime={"kind": "volatility"})
    desk.round(adaptation, BETTER)
    with transaction.atomic():
        tell_regime(
            adaptation, regime_type="volatility", value="turbulent", before="calm", measure=2.5, symbol="ACME",
            bar_time=from_ns(0), triggered=False, code="COOLDOWN", reason="A round began 3 bars ago.",
        )  # fmt: skip
    return adaptation


def expected(adaptation: LiveAdaptation) -> list[dict[str, Any]]:
    of = {"strategy_id": str(adaptation.strategy_id), "adaptation_id": str(adaptation.pk)}
    return [
        {"type": "adaptation_result", "proposed_params": BETTER, "status": "proposed", "applied_params": None, "event": 1, **of},
        {"type": "regime_change", "regime_type": "volatility", "value": "turbulent", "before": "calm", "measure": 2.5, **of},
    ]  # fmt: skip


async def news(socket: Any, count: int) -> list[dict[str, Any]]:
    """Return the next messages that are not about the progress of a job."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        message = await socket.receive_json_from(timeout=10)
        if message["type"] not in ("hello", "progress"):
            found.append(message)
    return found


def assert_told(messages: list[dict[str, Any]], adaptation: LiveAdaptation) -> None:
    for message, fields in zip(messages, expected(adaptation), strict=True):
        assert message.items() >= fields.items()
        assert {"seq", "at"} <= message.keys()
    assert messages[0]["seq"] < messages[1]["seq"]


async def test_a_round_and_a_change_of_regime_are_told_to_the_owner_and_to_operators(
    desk: Desk, trader: AbstractBaseUser, operator: AbstractBaseUser, viewer: AbstractBaseUser
) -> None:
    sockets = [await connected(user) for user in (trader, operator, viewer)]
    adaptation = await sync_to_async(round_and_regime)(desk)
    for socket in sockets[:2]:
        assert_told(await news(socket, 2), adaptation)
    assert (await sockets[2].receive_json_from())["type"] == "hello"
    assert await sockets[2].receive_nothing()
    for socket in sockets:
        await socket.disconnect()


async def test_what_was_missed_comes_by_number_after_a_reconnect(desk: Desk, trader: AbstractBaseUser) -> None:
    socket = await connected(trader)
    before = (await socket.receive_json_from())["seq"]
    await socket.disconnect()
    adaptation = await sync_to_async(round_and_regime)(desk)
    last = await sync_to_async(stream_position)(f"optimize:{trader.pk}")
    again = await connected(trader)
    assert await again.receive_json_from() == {"type": "hello", "seq": last}
    await again.send_json_to({"type": "replay", "after": before})
    missed = await news(again, 2)
    assert_told(missed, adaptation)
    assert missed[1]["seq"] == last
    await again.send_json_to({"type": "replay", "after": missed[0]["seq"]})
    assert (await news(again, 1))[0]["type"] == "regime_change"
    await again.disconnect()
