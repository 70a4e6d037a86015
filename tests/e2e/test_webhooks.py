"""A whole desk that tells receivers on this machine: good ones, slow ones, ones that are gone, and after its own death."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import walk
from tests.support.desk import Desk, Program, desk, wait_until
from tests.support.receiver import Received, Receiver, receiver
from tests.support.webhooks import verified

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


@dataclass
class Started:
    desk: Desk
    program: Program

    def again(self) -> None:
        self.program = self.desk.manage("up", "--no-demo")
        self.desk.wait_until_up(self.program)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    env = {"OUTBOUND_ALLOWED": "127.0.0.0/8"}
    with desk(Path(tmp_path_factory.mktemp("webhooks")), env) as one:
        program = one.manage("up", "--no-demo")
        one.wait_until_up(program)
        yield Started(one, program)


def hook(client: httpx.Client, there: Receiver, *event_types: str) -> dict[str, Any]:
    body = {"name": "Trial", "url": there.url, "event_types": event_types or ["ping"]}
    return dict(walk.post(client, "/api/webhooks", body, 201))


def ping(client: httpx.Client, webhook: dict[str, Any]) -> str:
    """Ask for a trial and return the id of its delivery."""
    return str(walk.post(client, f"/api/webhooks/{webhook['id']}/test", {}, 202)["id"])


def delivery(client: httpx.Client, webhook: dict[str, Any], delivery_id: str) -> Any:
    return walk.get(client, f"/api/webhooks/{webhook['id']}/deliveries/{delivery_id}")


def hangs(ended: threading.Event) -> Callable[..., None]:
    def answer(_request: Received, send: Callable[..., None]) -> None:
        ended.wait(60)
        send(200)

    return answer


def test_a_run_that_buys_is_told_with_its_order(started: Started) -> None:
    with receiver() as there, started.desk.client() as client:
        webhook = hook(client, there, "run.completed", "order.filled")
        run = walk.walk(started.desk)
        wait_until("both events", lambda: len(there.requests) >= 2, 20)
        events = {event["type"]: event["data"] for event in (verified(r, webhook["secret"]) for r in there.requests)}
        assert set(events) == {"run.completed", "order.filled"}
        assert events["run.completed"]["run_id"] == run["id"]
        [order] = walk.get(client, "/api/portfolio/orders", execution_id=run["id"])["results"]
        assert events["order.filled"]["order_id"] == order["id"]
        assert events["order.filled"]["quantity"] == order["quantity"]
        assert len({request.headers["webhook-id"] for request in there.requests}) == 2
        client.delete(f"/api/webhooks/{webhook['id']}")


def test_a_failure_is_tried_again_in_seconds_under_the_same_id(started: Started) -> None:
    def fails_first(_request: Received, send: Callable[..., None]) -> None:
        send(500 if len(there.requests) == 1 else 200)

    with receiver(fails_first) as there, started.desk.client() as client:
        webhook = hook(client, there)
        one = ping(client, webhook)
        wait_until("the second attempt", lambda: delivery(client, webhook, one)["status"] == "delivered", 25)
        assert [attempt["status"] for attempt in delivery(client, webhook, one)["log"]] == [500, 200]
        first, second = there.requests
        assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_one_that_hangs_and_one_that_redirects_keep_nobody_waiting(started: Started) -> None:
    ended = threading.Event()
    with (
        receiver(hangs(ended)) as slow,
        receiver() as inner,
        receiver(lambda request, send: send(307, Location=inner.url)) as elsewhere,
        receiver() as good,
        started.desk.client() as client,
    ):
        slow_hook, elsewhere_hook, good_hook = (hook(client, one) for one in (slow, elsewhere, good))
        for _ in range(6):
            ping(client, slow_hook)
        wait_until("two that wait", lambda: len(slow.requests) == 2, 20)
        redirected = ping(client, elsewhere_hook)
        began = time.monotonic()
        ping(client, good_hook)
        wait_until("the good one", lambda: good.requests, 10)
        assert time.monotonic() - began < 5
        assert len(slow.requests) == 2
        wait_until("the redirect", lambda: delivery(client, elsewhere_hook, redirected)["attempts"], 10)
        wait_until("its note", lambda: delivery(client, elsewhere_hook, redirected)["last_status"] == 307, 10)
        assert inner.requests == []
        client.delete(f"/api/webhooks/{slow_hook['id']}")
        ended.set()


def test_one_that_is_gone_is_disabled_and_an_alert_says_so(started: Started) -> None:
    with (
        receiver(lambda request, send: send(410)) as gone,
        receiver() as other,
        started.desk.client() as client,
    ):
        gone_hook, other_hook = hook(client, gone), hook(client, other, "alert.triggered")
        ping(client, gone_hook)
        path = f"/api/webhooks/{gone_hook['id']}"
        wait_until("its end", lambda: walk.get(client, path)["disabled_because"] == "gone", 20)
        [alert] = walk.get(client, "/api/alerts/history", kind="webhook_disabled")["results"]
        wait_until("the alert at the other", lambda: other.requests, 20)
        assert verified(other.requests[0], other_hook["secret"])["data"]["id"] == alert["id"]
        client.delete(f"/api/webhooks/{other_hook['id']}")


def test_what_a_killed_desk_had_sent_without_noting_it_is_sent_again_under_its_id(started: Started) -> None:
    ended = threading.Event()
    with receiver(hangs(ended)) as there:
        with started.desk.client() as client:
            webhook = hook(client, there)
            one = ping(client, webhook)
            wait_until("the first request", lambda: there.requests, 20)
        started.program.kill()
        there.answer = lambda request, send: send(200)
        ended.set()
        started.again()
        wait_until("the second request", lambda: len(there.requests) == 2, 60)
        with started.desk.client() as client:
            wait_until("its note", lambda: delivery(client, webhook, one)["status"] == "delivered", 10)
            lost, noted = delivery(client, webhook, one)["log"]
        assert lost["ended_at"] is None
        assert noted["status"] == 200
        ids = [request.headers["webhook-id"] for request in there.requests]
        assert ids == [f"msg_{one.replace('-', '')}"] * 2


def test_a_desk_ends_within_seconds_though_a_receiver_hangs(started: Started) -> None:
    ended = threading.Event()
    with receiver(hangs(ended)) as there:
        with started.desk.client() as client:
            ping(client, hook(client, there))
            wait_until("the request", lambda: there.requests, 20)
        began = time.monotonic()
        started.program.interrupt()
        started.program.process.wait(12)
        ended.set()
        assert time.monotonic() - began < 12
        assert "Traceback" not in started.program.output()
