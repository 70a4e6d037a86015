"""Prices made to measure, an account, and a broker that can be told to fail."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from rest_framework.test import APIClient

from market import store
from market.bars import from_ns, to_ns
from market.models import BarSeries, DataSource, Instrument
from portfolio import orders, reconciled, services, settling
from portfolio.brokers import Broker, BrokerUncertain, alpaca_http, broker_for
from portfolio.models import Account, Order, Position
from safety.models import SafetySettings
from tests.portfolio.rebalancing_desk import FLAT, URL, Clients, GoalAt, Rebalancing, bind_nobody
from tests.support.alpaca import KEY, SECRET, Book, loopback
from tradingsite.common.actor import Actor

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
Row = tuple[float, float, float, float]


def old_prices_allowed() -> None:
    """Let orders be priced by the bars of these tests, which are as old as their dates; tests/safety judges their age."""
    SafetySettings.objects.update_or_create(id=1, defaults={"data_max_age_s": 315_360_000})


class Prices:
    """Daily bars of a market that never closes: each row is (open, high, low, close), the first on 2026-01-01."""

    def series(self, symbol: str, rows: Sequence[Row], *, clock: str = "historical", **instrument: Any) -> BarSeries:
        source, _ = DataSource.objects.get_or_create(
            slug=f"prices-{clock}", defaults={"title": "Test prices", "kind": "import", "clock": clock}
        )
        made, _ = Instrument.objects.get_or_create(
            symbol=symbol, defaults={"exchange": "24/7", "default_source": source, **instrument}
        )
        series, _ = BarSeries.objects.get_or_create(instrument=made, source=source, timeframe="1d", adjustment="none")
        columns = self._columns(rows)
        folder = store.series_folder(source=source.slug, symbol=symbol, timeframe="1d", adjustment="none")
        series.version = store.write_version(folder, columns, at_least=series.version + 1)
        series.first_at, series.last_at = from_ns(int(columns["time"][0])), from_ns(int(columns["time"][-1]))
        series.bars_count = len(rows)
        series.save()
        return series

    def _columns(self, rows: Sequence[Row]) -> dict[str, Any]:
        times = [to_ns(FIRST_DAY + timedelta(days=day)) for day in range(len(rows))]
        named = zip(("open", "high", "low", "close"), zip(*rows, strict=True), strict=True)
        columns = {name: np.array(values, dtype=np.float64) for name, values in named}
        return {"time": np.array(times, dtype=np.int64), **columns, "volume": np.ones(len(rows))}


@pytest.fixture
def prices(db: None, data_dir: Path) -> Iterator[Prices]:
    store.cache_clear()
    old_prices_allowed()
    yield Prices()
    store.cache_clear()


@pytest.fixture
def account(db: None) -> Account:
    return services.account_ensure_default(actor=Actor.system("test"))


@pytest.fixture
def acme(prices: Prices) -> BarSeries:
    """ACME closed at 102 and has just opened at 103; its market stands there."""
    return prices.series("ACME", [(100, 104, 99, 101), (101, 105, 100, 102), (103, 110, 90, 95)])


@pytest.fixture
def place(actor: Actor, account: Account) -> Callable[..., Order]:
    """Return `order_place` for ten ACME to buy, or what is said instead."""

    def make(**changes: Any) -> Order:
        said = {"symbol": "ACME", "side": "buy", "quantity": Decimal(10), "client_order_id": "one", **changes}
        return services.order_place(actor=actor, account=Account.objects.get(pk=account.pk), **said)

    return make


class FlakyBroker:
    """The paper broker behind a line that breaks where it is told to."""

    def __init__(self, inner: Broker, faults: set[str], calls: list[str]) -> None:
        self._inner, self._faults, self._calls = inner, faults, calls
        self.refusal = inner.refusal
        self.refuses_duplicates = "accepts_duplicates" not in faults
        self.lists_filled = inner.lists_filled

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*args: Any) -> Any:
            self._calls.append(name)
            if f"{name} lost on the way there" in self._faults:
                raise BrokerUncertain("timed out")
            answer = method(*args)
            if f"{name} lost on the way back" in self._faults:
                raise BrokerUncertain("timed out")
            return answer

        return call


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> tuple[set[str], list[str]]:
    """Return the faults of the line to the broker, to add to and clear, and the calls that were made over it."""
    faults: set[str] = set()
    calls: list[str] = []
    answer_instead(monkeypatch, lambda inner: FlakyBroker(inner, faults, calls))
    return faults, calls


def answer_instead(monkeypatch: pytest.MonkeyPatch, broker: Callable[[Broker], Any]) -> None:
    """Let what `broker` makes of each account's own broker answer in its place."""
    for asking in (orders, settling):
        monkeypatch.setattr(asking, "broker_for", lambda account, wall: broker(broker_for(account, wall=wall)))


@pytest.fixture
def market(prices: Prices, account: Account) -> Prices:
    """ACME, BETA and OUT at 100 each, an account of 10,000 that pays no fees, and limits that bind nobody."""
    for symbol in ("ACME", "BETA", "OUT"):
        prices.series(symbol, FLAT)
    bind_nobody()
    return prices


@pytest.fixture
def goal(market: Prices, api: Clients) -> GoalAt:
    """Return a maker of goals that gives their addresses."""

    def make(client: APIClient | None = None, **weights: str) -> str:
        body = {"name": str(uuid4()), "target_weights": weights, "drift_threshold": "0.05"}
        answer = (client or api("trader")).post(URL, body, format="json")
        assert answer.status_code == 201, answer.content
        return f"{URL}/{answer.json()['id']}"

    return make


@pytest.fixture
def rebalance(api: Clients) -> Rebalancing:
    """Return a caller of a goal's rebalance, for real unless told."""

    def call(url: str, *, key: str | None = None, client: APIClient | None = None, **body: Any) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        said = {"dry_run": False, **body}
        return (client or api("trader")).post(f"{url}/rebalance", said, format="json", headers=headers)

    return call


@pytest.fixture
def book(settings: Any, account: Account, acme: BarSeries) -> Iterator[Book]:
    """Return the book of Alpaca, to whom the default account belongs now; ACME trades at 103."""
    Account.objects.update(broker="alpaca", fee_rate=Decimal(0), slippage=Decimal(0))
    book = Book(prices={"ACME": Decimal(103)})
    alpaca_http._quiet_until.clear()
    reconciled.forget()
    with loopback(book) as server:
        settings.ALPACA_BASE_URL, settings.ALPACA_TIMEOUT_S = server.url, 0.5
        settings.ALPACA_KEY_ID, settings.ALPACA_SECRET_KEY = KEY, SECRET
        # What an order compares first is a test of its own.
        reconciled.mark(account)
        yield book
    reconciled.forget()


def agree(book: Book) -> bool:
    """Whether the desk's books say what the broker's say."""
    held = {p.instrument.symbol: p.quantity for p in Position.objects.exclude(quantity=0)}
    return held == {s: q for s, q in book.positions.items() if q} and Account.objects.get().cash == book.cash
