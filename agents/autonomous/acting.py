"""What becomes of the intents that passed the gate: nothing, proposals, or orders; by how far the run may go."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from agents.autonomous.choices import Autonomy
from agents.autonomous.models import AgentRun, Proposal
from agents.autonomous.selectors import config_of
from portfolio.placing import intents_place, leg_id
from tradingsite.common import audit
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.contracts.steps import StepContext
from tradingsite.common.decimals import decimal_string


def act(
    context: StepContext, run: AgentRun, intents: Sequence[Mapping[str, Any]], decisions: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the phase's output: `autonomy`, `orders`, `proposals`, `would_order`."""
    autonomy = autonomy_now(run)
    output: dict[str, Any] = {"autonomy": autonomy.value, "orders": [], "proposals": [], "would_order": []}
    context.check()
    if autonomy is Autonomy.ACT:
        output["orders"] = intents_place(context, intents)
    elif autonomy is Autonomy.PROPOSE:
        output["proposals"] = _propose(context, run, intents, decisions)
    else:
        output["would_order"] = [dict(each) for each in intents]
        for each in intents:
            said = "" if each["verdict"]["allowed"] else f", and the gate would deny it: {each['verdict']['code']}"
            context.log(f"{each['symbol']}: it would {each['side']} {each['quantity']}{said}")
    return output


def autonomy_now(run: AgentRun) -> Autonomy:
    """Return how far the run may go: as pinned, and no further than the setting allows by now."""
    config = config_of(run.account)
    now = Autonomy(config.autonomy) if config.enabled else Autonomy.OBSERVE
    return min(Autonomy(run.autonomy), now, key=lambda each: each.rank)


def _propose(
    context: StepContext, run: AgentRun, intents: Sequence[Mapping[str, Any]], decisions: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Write a proposal for each intent that the gate would pass; done again it finds those that are there."""
    by_symbol = {each["symbol"]: each for each in decisions}
    lifetime = timedelta(seconds=run.config["proposal_lifetime_s"])
    legs: Counter[str] = Counter()
    made = []
    with transaction.atomic():
        for intent in intents:
            symbol, verdict = intent["symbol"], intent["verdict"]
            if not verdict["allowed"]:
                context.log(f"{symbol}: not proposed, the gate would deny it: {verdict['code']}: {verdict['detail']}")
                continue
            decision = by_symbol.get(symbol, {})
            proposal, new = Proposal.objects.get_or_create(
                client_order_id=leg_id(context.execution_id, context.step_index, symbol, legs[symbol]),
                defaults={
                    "run": run,
                    "account_id": UUID(intent["account_id"]),
                    "strategy_id": context.strategy_id,
                    "symbol": symbol,
                    "side": intent["side"],
                    "quantity": Decimal(intent["quantity"]),
                    "reference_price": Decimal(intent["reference_price"]),
                    "source": intent["source"],
                    "timeframe": intent["timeframe"],
                    "adjustment": intent["adjustment"],
                    "reduces": intent["reduces"],
                    "mode": context.mode,
                    "confidence": decision.get("confidence", 0.0),
                    "reason": decision.get("reason", ""),
                    "price_bound_pct": Decimal(run.config["price_bound_pct"]),
                    "expires_at": utcnow() + lifetime,
                },
            )
            legs[symbol] += 1
            if new:
                audit.record(
                    actor=context.actor, action="agent.propose", target=proposal, after=proposal_facts(proposal)
                )
            made.append(proposal_facts(proposal))
            context.log(f"{symbol}: proposed to {proposal.side} {intent['quantity']}")
    return made


def proposal_facts(proposal: Proposal) -> dict[str, Any]:
    """Return a proposal as a JSON-able mapping: what a report and a socket message hold."""
    return {
        "proposal_id": str(proposal.pk),
        "symbol": proposal.symbol,
        "side": proposal.side,
        "quantity": decimal_string(proposal.quantity),
        "reference_price": decimal_string(proposal.reference_price),
        "confidence": proposal.confidence,
        "reason": proposal.reason,
        "status": proposal.status,
        "expires_at": rfc3339(proposal.expires_at),
        "order_id": None if proposal.order_id is None else str(proposal.order_id),
    }
