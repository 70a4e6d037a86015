"""Workers killed anywhere between an order's intent and its fill, against a broker in a process of its own."""

import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from django.db import connection

from portfolio import services
from portfolio.brokers import alpaca_http
from portfolio.models import Account, Fill, Order, Position
from safety.models import AuditLog, ReconciliationBlock, SafetySettings
from tests.faults.figures import Figures
from tests.faults.orders.worker import STAGES
from tests.faults.sizes import LONG
from tests.portfolio.conftest import Prices, account  # noqa: F401
from tests.support.alpaca import KEY, SECRET
from tradingsite.common.clock import utcnow

pytestmark = [pytest.mark.e2e, pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

KILLS = 200 if LONG else 20
CASH = Decimal(10_000_000)
# Each fault comes once the broker has the order; a refusal for too many requests comes before.
FAULTS = ("close after", "500 after", "garbage after", "429 0.02 before", "", "", "", "", "", "")
POINTS = 40
"""More than an order passes, so that a life may end in its second or third one."""


class Workers:
    """The program whose children place and die."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def live(self, die_at: int, ids: list[str]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"die_at": die_at, "ids": ids}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the worker program ended"
        return json.loads(line)


@contextmanager
def program(name: str, *arguments: str, log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **env},
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def database_url() -> str:
    told = connection.settings_dict
    who = f"{told['USER']}:{told['PASSWORD']}" if told["PASSWORD"] else told["USER"]
    return f"postgres://{who}@{told['HOST']}:{told['PORT'] or 5432}/{told['NAME']}"


@pytest.fixture
def desk(transactional_db: None, data_dir: Path, account: Account) -> Account:  # noqa: F811
    """An account at the broker, and limits that let all orders pass."""
    Prices().series("ACME", [(100, 104, 99, 101), (101, 105, 100, 102), (103, 110, 90, 95)])
    Account.objects.update(broker="alpaca", cash=CASH, starting_cash=CASH, fee_rate=0, slippage=0)
    wide = {
        "daily_trade_limit": 100_000,
        "duplicate_window_s": 0,
        "order_rate_limit": 100_000,
        "data_max_age_s": 315_360_000,
        "position_limit": 5_000_000,
        "exposure_limit": 5_000_000,
        "order_notional_limit": 1_000_000,
    }
    SafetySettings.objects.update_or_create(id=1, defaults=wide)
    account.refresh_from_db()
    return account


def orders_made(seed: random.Random, count: int) -> list[str]:
    """Names that say their quantity and side; buys first, so that every sell has what it sells."""
    buys = [f"{number}-{seed.randint(1, 9)}-buy" for number in range(count - count // 4)]
    return [*buys, *(f"{number}-1-sell" for number in range(count // 4))]


def waiting(ids: list[str]) -> list[str]:
    over = set(Order.objects.filter(status="filled").values_list("client_order_id", flat=True))
    return [name for name in ids if name not in over]


def broken_histories() -> list[str]:
    """Return the orders whose audit rows do not lead from the intent to where they stand, each step once."""
    broken = []
    for order in Order.objects.all():
        rows = AuditLog.objects.filter(target_id=str(order.pk), action__startswith="order.").order_by("at", "pk")
        steps = [(row.action, (row.before or {}).get("status"), (row.after or {}).get("status")) for row in rows]
        status = None
        for number, (action, before, after) in enumerate(steps):
            first = number == 0
            if (action == "order.place") != first or (not first and before != status):
                broken.append(f"{order.client_order_id}: {steps}")
                break
            status = after
        else:
            if status != order.status:
                broken.append(f"{order.client_order_id}: ends {status}, is {order.status}")
    return broken


def test_workers_killed_between_intent_and_fill_lose_and_double_no_order(
    desk: Account, data_dir: Path, tmp_path: Path, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.Random(20261121)
    faults = [seed.choice(FAULTS) for _ in range(KILLS * 3)]
    told = {
        "cash": str(CASH),
        "prices": {"ACME": "103"},
        "parts": 1,
        "faults": {"submit": faults, "fills": [seed.choice(("500 before", "", "")) for _ in range(KILLS)]},
        "hang_s": 1,
        "twice": True,
    }
    began = time.monotonic()
    with program("tests.support.alpaca", json.dumps(told), log=tmp_path / "broker", env={}) as broker:
        assert broker.stdout is not None
        url = broker.stdout.readline().strip()
        env = {
            "DJANGO_SETTINGS_MODULE": "tradingsite.settings",
            "DATABASE_URL": database_url(),
            "DATA_DIR": str(data_dir),
            "ALPACA_BASE_URL": url,
            "ALPACA_KEY_ID": KEY,
            "ALPACA_SECRET_KEY": SECRET,
            "ALPACA_TIMEOUT_S": "5",
        }
        ids = orders_made(seed, KILLS)
        killed: Counter[str] = Counter()
        with program("tests.faults.orders.worker", log=tmp_path / "worker", env=env) as process:
            workers, lives = Workers(process), 0
            while killed.total() < KILLS or waiting(ids):
                lives += 1
                assert lives < KILLS * 5, (killed, waiting(ids), (tmp_path / "worker").read_text()[-4000:])
                open_ids = waiting(ids)
                if not open_ids:
                    ids += [f"more{lives}-1-buy"]
                    continue
                dies = killed.total() < KILLS
                ended = workers.live(seed.randint(1, POINTS) if dies else 0, open_ids[: 3 if dies else None])
                if ended["signal"] == SIGKILL:
                    killed[ended["stage"]] += 1
                else:
                    assert ended["status"] == 0, (tmp_path / "worker").read_text()[-4000:]
        with urllib.request.urlopen(f"{url}/book", timeout=5) as answer:  # of this machine
            book = json.load(answer)
        settings.ALPACA_BASE_URL, settings.ALPACA_KEY_ID, settings.ALPACA_SECRET_KEY = url, KEY, SECRET
        settings.ALPACA_TIMEOUT_S = 5
        alpaca_http._quiet_until.clear()
        compared = services.account_reconcile(account=desk, wall=utcnow())

    figures = Figures("orders: workers killed", runs=len(ids), kills=killed.total())
    figures.seconds = time.monotonic() - began
    figures.lost = len(set(ids) - set(book["orders"]))
    figures.duplicated = sum(count - 1 for count in book["orders"].values())
    figures.wrong = Order.objects.exclude(status="filled").count()
    figures.refused = sum(count - 1 for count in book["attempts"].values())
    figures.note = ", ".join(f"{killed[stage]} at {stage}" for stage in STAGES) + f"; {lives} lives"
    figures.tell()
    with capsys.disabled():
        sys.stdout.write(f"\n{figures.scenario}: {figures}\n")

    assert set(killed) == set(STAGES) if LONG else len(killed) >= 3
    assert (figures.lost, figures.duplicated, figures.wrong) == (0, 0, 0)
    assert sorted(Order.objects.values_list("client_order_id", flat=True)) == sorted(ids)
    held = Position.objects.get()
    assert held.quantity == Decimal(book["positions"]["ACME"])
    assert Account.objects.get().cash == Decimal(book["cash"])
    assert Fill.objects.count() == book["fills"]
    assert services.positions_check(account=desk) == []
    assert (compared.compared, compared.differences, ReconciliationBlock.objects.count()) == (True, (), 0)
    assert broken_histories() == []
