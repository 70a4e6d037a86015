"""A desk with two markets, a strategy that buys what rises, and an agent set to it."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from agents.autonomous import runs
from agents.autonomous.config import config_update
from agents.autonomous.models import AgentRun
from executions import endings
from portfolio.models import Account
from tests.agents.conftest import account, prices
from tests.executions.conftest import Trials, instrument, trials
from tests.portfolio.conftest import Prices
from tests.portfolio.rebalancing_desk import bind_nobody
from tradingsite.common.actor import Actor
from workflows.models import Strategy
from workflows.services import strategy_create, workflow_create

__all__ = ["account", "instrument", "prices", "trials"]

RISING = [(float(90 + n), float(91 + n), float(89 + n), float(90 + n)) for n in range(12)]
FALLING = [(float(120 - n), float(121 - n), float(119 - n), float(120 - n)) for n in range(12)]
DESK = Actor.system("tests")


def trend(name: str, symbols: list[str], *, fast: int = 2, slow: int = 4) -> Strategy:
    """Make a strategy that is long while its fast average is above its slow one."""
    workflow = workflow_create(
        actor=DESK,
        name=name,
        type="custom",
        steps=[
            {"name": "prices", "type": "market_data", "config": {}},
            {
                "name": "signal",
                "type": "signal",
                "config": {
                    "strategy_type": "sma_crossover",
                    "params": {"fast": fast, "slow": slow},
                    "stop_pct": 5,
                    "target_pct": 10,
                },
            },
            {"name": "risk", "type": "risk_check", "config": {"sizing": {"method": "quantity", "value": "1"}}},
            {"name": "order", "type": "order", "config": {}},
        ],
    )
    return strategy_create(actor=DESK, name=name, workflow_id=workflow.pk, symbols=symbols)


class AgentDesk:
    """The agent of the default account, and a worker that a test calls by hand."""

    def __init__(self, trials: Trials, account: Account, strategy: Strategy) -> None:
        self.trials, self.account, self.strategy = trials, account, strategy
        self.actor = trials.actor

    def set(self, **changes: Any) -> None:
        config_update(actor=DESK, changes=changes)

    def start(self, **said: Any) -> AgentRun:
        return runs.run_start(actor=self.actor, **said)

    def carry(self, run: AgentRun) -> AgentRun:
        """Do what a worker and the duties do with the run, and return it as it is then."""
        assert run.execution is not None
        self.trials.carry(run.execution)
        endings.settle()
        return self.again(run)

    def run(self, **said: Any) -> AgentRun:
        return self.carry(self.start(**said))

    def again(self, run: AgentRun) -> AgentRun:
        return AgentRun.objects.select_related("execution").get(pk=run.pk)


@pytest.fixture
def desk(trials: Trials, account: Account, prices: Prices) -> AgentDesk:
    """ACME rises and BETA falls; the strategy Trend looks at both, and the agent at the strategy."""
    bind_nobody()
    prices.series("ACME", RISING)
    prices.series("BETA", FALLING)
    made = AgentDesk(trials, account, trend("Trend", ["ACME", "BETA"]))
    made.set(strategies=[str(made.strategy.pk)], autonomy="act", team_enabled=False)
    return made


@pytest.fixture
def workers(desk: AgentDesk, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let a worker carry the run while a request waits for it."""

    def meanwhile(seconds: float) -> None:
        for run in AgentRun.objects.select_related("execution").filter(status="running"):
            assert run.execution is not None
            desk.trials.carry(run.execution)

    monkeypatch.setattr(runs, "_sleep", meanwhile)
    return lambda: meanwhile(0)


Clients = Callable[..., APIClient]
