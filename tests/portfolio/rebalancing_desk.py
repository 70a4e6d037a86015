"""Goals and rebalances as the tests of both ask for them over HTTP."""

from collections.abc import Callable
from typing import Any

from rest_framework.test import APIClient

from portfolio.models import Account, Position
from safety.models import SafetySettings

Clients = Callable[..., APIClient]
Rebalancing = Callable[..., Any]
GoalAt = Callable[..., str]
URL = "/api/portfolio/goals"
FLAT = [(100, 100, 100, 100)] * 2


def bind_nobody() -> None:
    """Let the account pay no fees and no limit hold anybody back."""
    Account.objects.update(starting_cash=10_000, cash=10_000, fee_rate=0, slippage=0)
    SafetySettings.objects.update(
        daily_trade_limit=1000,
        order_rate_limit=1000,
        order_notional_limit=10**6,
        position_limit=10**6,
        exposure_limit=10**6,
        data_max_age_s=315_360_000,
    )


def told(answer: Any) -> list[tuple[str, str, str, str]]:
    return [(o["symbol"], o["side"], o["quantity"], o["code"] or o["status"]) for o in answer.json()["orders"]]


def held() -> dict[str, str]:
    found = Position.objects.exclude(quantity=0).values_list("instrument__symbol", "quantity")
    return {symbol: f"{quantity.normalize():f}" for symbol, quantity in found}
