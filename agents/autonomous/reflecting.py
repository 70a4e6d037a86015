"""The end of a run: what it comes to in words, and what came of the advice of earlier runs."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from agents.autonomous.choices import RunStatus
from agents.autonomous.models import AgentRun
from tradingsite.common.clock import rfc3339

EARLIER_RUNS = 20


def reflect(run: AgentRun, *, series: Mapping[str, Mapping[str, Any]], acted: Mapping[str, Any],
            decisions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # fmt: skip
    """Return the phase's output: `report_summary` and `earlier_advice`."""
    return {"report_summary": summary_of(decisions, acted), "earlier_advice": earlier_advice(run, series)}


def summary_of(decisions: Sequence[Mapping[str, Any]], acted: Mapping[str, Any]) -> str:
    """Say in a sentence or two what the run decided and did."""
    counts = {word: [d["symbol"] for d in decisions if d["action"] == word] for word in ("BUY", "SELL", "HOLD")}
    said = [f"{word} {', '.join(symbols)}" for word, symbols in counts.items() if symbols and word != "HOLD"]
    if counts["HOLD"]:
        said.append(f"HOLD on {len(counts['HOLD'])} of {len(decisions)} symbols")
    parts = ["; ".join(said) or "There was nothing to decide"]
    if acted["orders"]:
        states = ", ".join(f"{each['symbol']} {each['status']}" for each in acted["orders"])
        parts.append(f"{len(acted['orders'])} orders: {states}")
    elif acted["proposals"]:
        parts.append(f"{len(acted['proposals'])} proposals wait for a person")
    elif acted["would_order"]:
        parts.append(f"It would have placed {len(acted['would_order'])} orders, and was to observe only")
    else:
        parts.append("No order came of it")
    return ". ".join(parts) + "."


def earlier_advice(run: AgentRun, series: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what became of the BUY and SELL decisions of earlier runs on symbols that this run has prices of.

    `move` is the fraction by which the price has moved since, in the direction of the advice above zero.
    """
    earlier = AgentRun.objects.filter(
        account_id=run.account_id, status=RunStatus.COMPLETED, created_at__lt=run.created_at
    ).order_by("-created_at")[:EARLIER_RUNS]
    found = []
    for each in earlier:
        for decision in (each.report or {}).get("decisions", []):
            symbol, action = decision["symbol"], decision["action"]
            if action == "HOLD" or symbol not in series:
                continue
            then, now = Decimal(decision["price"]), Decimal(series[symbol]["decision_close"])
            move = float(now / then - 1) * (1 if action == "BUY" else -1)
            found.append(
                {
                    "run_id": str(each.pk),
                    "at": rfc3339(each.created_at),
                    "symbol": symbol,
                    "action": action,
                    "price_then": decision["price"],
                    "price_now": series[symbol]["decision_close"],
                    "move": round(move, 6),
                }
            )
    return found
