"""The README's calls run as written, and what they must lead to."""

import json
import re
import shutil
import subprocess
from decimal import ROUND_DOWN, Decimal
from typing import Any

import httpx

from tests.support import sample
from tests.support.desk import PASSWORD, ROOT, Desk, wait_until

SPENT = Decimal(20000)
SLIPPAGE = Decimal("0.0005")
FEE_RATE = Decimal("0.001")
# Prices pass through float64 arrays; everything after them is decimal.
TOLERANCE = Decimal("0.000001")


def readme_calls() -> list[str]:
    """Return the README's fenced bash blocks."""
    return re.findall(r"^```bash\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def walk(desk: Desk) -> dict[str, Any]:
    """Run the five calls in one shell, as a reader would, and return the run that the last one prints."""
    assert shutil.which("curl"), "curl is needed: the README's calls are tested as written"
    calls = readme_calls()
    assert len(calls) == 5
    mark = "=== the next call ==="
    script = "set -euo pipefail\n" + f"\necho; echo '{mark}'\n".join(calls)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env={**desk.environment(), "DESK": desk.url, "PASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    answer = json.loads(done.stdout.split(mark)[-1])
    assert isinstance(answer, dict)
    return answer


def get(client: httpx.Client, path: str, **query: Any) -> Any:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
    return answer.json()


def post(client: httpx.Client, path: str, body: Any, status: int) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text}"
    return answer.json()


def near(found: object, expected: Decimal) -> bool:
    return abs(Decimal(str(found)) - expected) <= TOLERANCE


def assert_bought_by_hand(client: httpx.Client, run: dict[str, Any], cash_before: Decimal) -> None:
    """Compare the run, the order, the fill, the position and the cash with figures from the file.

    By the conventions: decided on the last complete day (2013-02-28), filled at the open of the next (2013-03-01) with
    slippage against the buyer, whole shares for at most 20,000 at the decision's price, fee on what was filled.
    """
    *earlier, decided, filled = sample.days("MSFT")
    assert (decided.date, filled.date) == ("2013-02-28", "2013-03-01")
    closes = [day.close for day in (*earlier, decided)]
    assert sum(closes[-10:]) / 10 > sum(closes[-50:]) / 50, "the rule says buy"
    quantity = (SPENT / decided.close).to_integral_value(ROUND_DOWN)
    price = filled.open * (1 + SLIPPAGE)
    fee = price * quantity * FEE_RATE

    assert run["status"] == "completed"
    (decision,) = run["results"]["decisions"]
    assert (decision["symbol"], decision["action"]) == ("MSFT", "BUY")
    assert near(decision["price"], decided.close)

    listed = get(client, "/api/portfolio/orders", execution_id=run["id"])["results"]
    assert len(listed) == 1
    order = get(client, f"/api/portfolio/orders/{listed[0]['id']}")
    assert (order["side"], order["status"], Decimal(order["quantity"])) == ("buy", "filled", quantity)
    (fill,) = order["fills"]
    assert near(fill["price"], price)
    assert Decimal(fill["quantity"]) == quantity
    assert near(fill["fee"], fee)
    assert fill["occurred_at"].startswith("2013-03-01T14:30:00")

    account = get(client, "/api/portfolio")
    (position,) = [held for held in account["positions"] if held["symbol"] == "MSFT"]
    assert Decimal(position["quantity"]) == quantity
    assert near(position["average_price"], price)
    assert near(account["cash"], cash_before - price * quantity - fee)

    (verdict,) = get(client, "/api/safety/decisions", execution_id=run["id"], preview="false")["results"]
    assert verdict["allowed"] is True


def slow_run_start(client: httpx.Client, symbol: str, seconds: float) -> str:
    """Start a run that orders `symbol` and then waits in the step `second`; return its id."""
    steps = [
        {"name": "first", "type": "slow", "config": {"seconds": 0}},
        {"name": "prices", "type": "market_data", "config": {"source": "sample", "timeframe": "1d"}},
        {
            "name": "trend",
            "type": "signal",
            "config": {"strategy_type": "sma_crossover", "params": {"fast": "$fast", "slow": "$slow"}},
        },
        {"name": "size", "type": "risk_check", "config": {"sizing": {"method": "quantity", "value": "10"}}},
        {"name": "buy", "type": "order", "config": {}},
        {"name": "second", "type": "slow", "config": {"seconds": seconds}},
        {"name": "third", "type": "slow", "config": {"seconds": 0}},
    ]
    body = {"name": f"Slow {symbol}", "type": "custom", "default_params": {"fast": 20, "slow": 100}, "steps": steps}
    workflow = post(client, "/api/workflows", body, 201)["id"]
    strategy = post(
        client,
        "/api/strategies",
        {
            "name": f"Slow {symbol}",
            "strategy_type": "sma_crossover",
            "workflow_id": workflow,
            "symbols": [symbol],
            "param": {},
            "enabled": True,
        },
        201,
    )["id"]
    run = post(client, f"/api/workflows/{workflow}/execute", {"strategy_id": strategy}, 202)
    return str(run["workflow_execution_id"])


def wait_for_step(desk: Desk, run: str, name: str, times: int, seconds: float) -> tuple[int, float]:
    """Return (process id, time) of the `times`-th start of the slow step `name`."""

    def started() -> list[tuple[str, int, float]] | None:
        starts = [line for line in desk.slow_steps(run) if line[0] == name]
        return starts if len(starts) >= times else None

    starts = wait_until(f"start {times} of step {name}", started, seconds)
    return starts[times - 1][1], starts[times - 1][2]


def assert_resumed_without_repeating(desk: Desk, client: httpx.Client, run: str) -> None:
    """The interrupted step ran again, no other one did, and its order went out once."""
    final = get(client, f"/api/runs/{run}", wait=30)
    assert final["status"] == "completed", final
    assert [name for name, _, _ in desk.slow_steps(run)] == ["first", "second", "second", "third"]
    assert [name for name, _, _ in desk.slow_steps(run, "end")] == ["first", "second", "third"]
    steps = get(client, f"/api/runs/{run}/steps")
    attempts = {step["name"]: step["attempts"] for step in (steps["results"] if isinstance(steps, dict) else steps)}
    assert attempts == {"first": 1, "prices": 1, "trend": 1, "size": 1, "buy": 1, "second": 2, "third": 1}
    orders = get(client, "/api/portfolio/orders", execution_id=run)["results"]
    assert [order["status"] for order in orders] == ["filled"]
    fills = get(client, f"/api/portfolio/orders/{orders[0]['id']}")["fills"]
    assert [Decimal(fill["quantity"]) for fill in fills] == [Decimal(10)]
