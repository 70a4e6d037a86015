"""Rules, prices to look at, and rounds that are done in this thread."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from market import store
from safety import services
from safety.alerting.rounds import RoundResult, evaluate
from safety.models import AlertEvent, AlertRule, AlertState
from tests.portfolio.conftest import Prices
from tradingsite.common.actor import Actor

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def own_sentinels(data_dir: Path) -> Path:
    return data_dir / "kill_switch"


@pytest.fixture
def prices(db: None, data_dir: Path) -> Iterator[Prices]:
    store.cache_clear()
    yield Prices()
    store.cache_clear()


class Watchman:
    """A trader's rules about ACME, whose daily closes a test gives one after the other."""

    def __init__(self, actor: Actor, prices: Prices) -> None:
        self.actor = actor
        self.prices = prices
        self.closes: list[float] = []
        self.rounds = 0
        self.now = FIRST_DAY

    def rule(self, kind: str = "price_above", **fields: Any) -> AlertRule:
        said: dict[str, Any] = {"name": f"{kind} rule", "symbol": "ACME", "threshold": "100", **fields}
        said = {name: value for name, value in said.items() if value is not None}
        return services.alert_rule_create(actor=said.pop("actor", self.actor), kind=kind, **said)

    def close(self, *closes: float, clock: str = "live") -> None:
        """Let ACME close at these prices, one day after the other, and the wall stand at the last day's end."""
        self.closes += closes
        self.prices.series("ACME", [(each, each, each, each) for each in self.closes], clock=clock)
        self.now = FIRST_DAY + timedelta(days=len(self.closes))

    def look(self, *closes: float) -> RoundResult:
        """Do a round after each of the closes, or one round as things are; return what the last one did."""
        for each in closes:
            self.close(each)
            evaluate(now=self.now)
        return RoundResult() if closes else evaluate(now=self.now)

    def state(self, rule: AlertRule) -> AlertState:
        return AlertState.objects.get(rule=rule)

    def raised(self, rule: AlertRule | None = None) -> list[str]:
        rows = AlertEvent.objects.order_by("triggered_at", "id")
        return [row.message for row in (rows if rule is None else rows.filter(alert_id=rule.pk))]


@pytest.fixture
def watch(actor: Actor, prices: Prices) -> Watchman:
    watchman = Watchman(actor, prices)
    watchman.close(90)
    return watchman
