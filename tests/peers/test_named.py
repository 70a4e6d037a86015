"""What other desks declare and do not enforce, tried on this one, where no test beside the code does so already.

`docs/peers.md` has the whole list, and says for each where it is tried.
"""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.db import connections
from rest_framework.test import APIClient

from executions.routing import websocket_urlpatterns
from market.models import BarSeries
from portfolio.models import Account, Order, PaperOrder
from safety.models import SafetySettings
from tests.executions.conftest import Trials, instrument, trials  # noqa: F401
from tests.portfolio.conftest import FIRST_DAY, Prices, account, acme, place, prices  # noqa: F401
from tradingsite.common import clock
from tradingsite.common.actor import Actor
from tradingsite.common.contracts.steps import StepContext, StepResult
from tradingsite.common.live import consumer as consumer_module
from tradingsite.common.roles import Role

pytestmark = pytest.mark.django_db(transaction=True)

ORDER = {"symbol": "ACME", "side": "buy", "quantity": "1", "type": "market"}
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("pause", "go_on", "code"),
    [
        (
            ("patch", "/api/safety/limits", {"trading_state": "reducing"}),
            ("patch", "/api/safety/limits", {"trading_state": "active"}),
            "TRADING_STATE_REDUCING",
        ),
        (
            ("post", "/api/safety/kill", {"reason": "pause"}),
            ("post", "/api/safety/resume", {"reason": "go on"}),
            "KILL_SWITCH_ACTIVE",
        ),
    ],
    ids=["reducing", "kill"],
)
def test_nofxs_pause_that_nothing_reads_every_pause_of_the_api_stops_the_next_order_of_the_api(
    acme: BarSeries,  # noqa: F811
    account: Account,  # noqa: F811
    api: Callable[..., APIClient],
    pause: tuple[str, str, dict[str, str]],
    go_on: tuple[str, str, dict[str, str]],
    code: str,
) -> None:
    admin, trader = api("admin"), api("trader")

    def say(method: str, path: str, body: dict[str, str]) -> None:
        assert getattr(admin, method)(path, body, format="json").status_code == 200

    say(*pause)
    denied = trader.post("/api/portfolio/orders", ORDER, format="json").json()
    assert (denied["status"], denied["code"]) == ("denied", code)
    assert not PaperOrder.objects.exists()
    say(*go_on)
    assert trader.post("/api/portfolio/orders", {**ORDER, "quantity": "2"}, format="json").json()["code"] == ""


@pytest.mark.usefixtures("account")
def test_freqtrades_age_that_is_always_too_old_data_is_stale_from_the_second_after_its_limit_on_and_not_before(
    prices: Prices,  # noqa: F811
    place: Callable[..., Order],  # noqa: F811
) -> None:
    SafetySettings.objects.update(data_max_age_s=int(5 * DAY.total_seconds()))
    prices.series("OLD", [(100, 101, 99, 100)], clock="live")
    complete = FIRST_DAY + DAY
    codes = []
    for number, age in enumerate((DAY, 5 * DAY, 5 * DAY + timedelta(seconds=1), 50 * DAY)):
        with clock.frozen(complete + age):
            codes.append(place(symbol="OLD", quantity=Decimal(1 + number), client_order_id=str(number)).code)
    assert codes == ["", "", "DATA_STALE", "DATA_STALE"]


async def test_autogen_studios_run_that_ends_with_its_socket_a_run_goes_on_when_who_watched_it_leaves(
    trials: Trials,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer = Actor(kind="user", name="viewer", role=Role.VIEWER)
    monkeypatch.setattr(consumer_module, "actor_from_scope", lambda scope: viewer)
    begun, left = threading.Event(), threading.Event()

    def until_nobody_watches(context: StepContext) -> StepResult:
        begun.set()
        assert left.wait(30)
        context.check()
        return StepResult({"number": 1}, "done")

    trials.acts["one"] = until_nobody_watches
    run = await database_sync_to_async(trials.create)("one", "two")

    def carry() -> Any:
        try:
            return trials.carry(run)
        finally:
            connections.close_all()

    socket = WebsocketCommunicator(URLRouter(websocket_urlpatterns), f"/ws/executions?execution_id={run.pk}")
    await socket.connect()
    carried = asyncio.create_task(asyncio.to_thread(carry))
    assert await asyncio.to_thread(begun.wait, 30)
    await socket.disconnect()
    left.set()
    assert (await carried).status == "completed"
    assert trials.begun == ["one", "two"]
