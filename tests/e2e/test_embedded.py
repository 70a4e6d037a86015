"""The one-process desk on SQLite, started as a newcomer starts it."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import sockets, walk
from tests.support.desk import PASSWORD, Desk, Program, desk, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

STOP_S = 10.0


@dataclass
class Started:
    desk: Desk
    program: Program

    def again(self) -> None:
        """Start it a second time over the same data."""
        self.program = self.desk.make("run")
        self.desk.wait_until_up(self.program)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with desk(Path(tmp_path_factory.mktemp("embedded"))) as one:
        program = one.make("run")
        one.wait_until_up(program)
        yield Started(one, program)


def counts(client: httpx.Client) -> dict[str, Any]:
    """Return how much of everything the desk holds."""
    found: dict[str, Any] = {
        path: walk.get(client, f"/api/{path}", count="true")["count"]
        for path in ("portfolio/orders", "portfolio/fills", "runs", "market/imports")
    }
    found |= {
        path: walk.get(client, f"/api/{path}")["count"] for path in ("workflows", "strategies", "market/instruments")
    }
    found["cash"] = walk.get(client, "/api/portfolio")["cash"]
    return found


def test_the_first_start_says_where_it_is_and_shows_a_run_over_real_prices(started: Started) -> None:
    told = started.program.output()
    wait_until("the welcome", lambda: "Ctrl-C stops it" in started.program.output(), 5)
    told = started.program.output()
    for expected in (started.desk.url, "admin", PASSWORD, "decided", "BUY", "gate passed", "filled", "equity"):
        assert expected in told, told


def test_the_readmes_calls_buy_what_the_file_says_at_the_price_it_says(started: Started) -> None:
    with started.desk.client() as client:
        cash = Decimal(walk.get(client, "/api/portfolio")["cash"])
        run = walk.walk(started.desk)
        walk.assert_bought_by_hand(client, run, cash)


def test_a_killed_desk_goes_on_at_the_step_it_was_in_and_adds_nothing_twice(started: Started) -> None:
    with started.desk.client() as client:
        run = walk.slow_run_start(client, "FB", 3)
        walk.wait_for_step(started.desk, run, "second", 1, 20)
        before = counts(client)
    started.program.kill()
    started.again()
    walk.wait_for_step(started.desk, run, "second", 2, 15)
    with started.desk.client() as client:
        walk.assert_resumed_without_repeating(started.desk, client, run)
        assert counts(client) == before
    assert started.program.output().count("decided") == 0, "the demo run is for the first start"


def test_ctrl_c_ends_the_desk_within_seconds_and_hands_running_work_over(started: Started) -> None:
    with started.desk.client() as client:
        run = walk.slow_run_start(client, "AAPL", 60)
        walk.wait_for_step(started.desk, run, "second", 1, 20)
    began = time.monotonic()
    started.program.interrupt()
    started.program.process.wait(STOP_S)
    # `make` reports the interrupt as every make does; the server's own status has a test below.
    wait_until("the end of every process", lambda: not started.program.alive(), STOP_S)
    assert time.monotonic() - began < STOP_S
    wait_until("the last word", lambda: "Stopped." in started.program.output(), 2)
    assert "Traceback" not in started.program.output()
    started.again()
    walk.wait_for_step(started.desk, run, "second", 2, 15)
    with started.desk.client() as client:
        assert client.post(f"/api/runs/{run}/cancel", json={}).status_code in (200, 202)
        assert walk.get(client, f"/api/runs/{run}", wait=10)["status"] == "cancelled"


def test_a_program_hears_a_run_step_by_step_and_may_ask_for_it_again(started: Started) -> None:
    with started.desk.client() as client:
        sockets.listened_run(started.desk, client)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_server_ends_with_0_when_it_is_asked_to(tmp_path: Path, number: signal.Signals) -> None:
    with desk(tmp_path) as one:
        program = one.manage("up", "--no-demo")
        one.wait_until_up(program)
        program.process.send_signal(number)
        assert program.process.wait(STOP_S) == 0, program.output()


def test_the_demo_tells_its_run_and_a_second_one_buys_nothing_more(tmp_path: Path) -> None:
    with desk(tmp_path) as one:
        told = []
        for _ in range(2):
            program = one.make("demo")
            assert program.process.wait(90) == 0, program.output()
            told.append(program.output())
    first, second = told
    assert "BUY" in first
    assert "filled" in first
    assert "equity" in first
    assert "BUY" not in second
    assert "ordered   nothing" in second
