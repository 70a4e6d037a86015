"""What becomes of a proposal: a person approves or rejects it, or its time is up."""

import logging
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from agents.autonomous.acting import proposal_facts
from agents.autonomous.choices import ProposalStatus
from agents.autonomous.errors import ProposalClosed, ProposalPriceMoved
from agents.autonomous.models import Proposal
from agents.autonomous.selectors import proposal_get
from agents.news import tell
from market import selectors as market
from portfolio.choices import OrderPurpose
from portfolio.facts import series_facts
from portfolio.models import Order
from portfolio.selectors import account_get
from portfolio.services import order_place
from safety import killswitch
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import AppError

logger = logging.getLogger(__name__)

EVERY_S = 5.0
BATCH = 200
# Whoever approved and was to place the order is gone by then; another places it, under the same id.
PLACED_WITHIN = timedelta(seconds=60)
CLOCK = Actor.system("clock")


def proposal_approve(*, actor: Actor, proposal_id: UUID, reason: str = "") -> Proposal:
    """Approve a proposal and place its order, through the gate at today's prices.

    Of two approvals at once one places the order. An approval whose process died before it placed the order is carried
    out by `approvals_carry_on` or another approval, a minute later at the earliest; the order's id is the proposal's, so
    that there is never a second.

    Returns:
        The proposal with its order, which the gate may have denied.

    Raises:
        ProposalNotFound
        ProposalClosed: it was decided already, or has expired.
        KillSwitchActive: nothing leaves now; the proposal waits.
        ProposalPriceMoved: the price, or there is none any more, is beyond the bound; the proposal waits.
    """
    proposal = proposal_get(proposal_id)
    _open_check(proposal)
    killswitch.assert_open(strategy_id=proposal.strategy_id)
    _price_check(proposal)
    now = utcnow()
    with transaction.atomic():
        orphaned = Q(status=ProposalStatus.APPROVED, order=None, updated_at__lt=now - PLACED_WITHIN)
        taken = Proposal.objects.filter(
            Q(status=ProposalStatus.PENDING) | orphaned, pk=proposal.pk, expires_at__gt=now
        ).update(
            status=ProposalStatus.APPROVED, decided_at=now, decided_by=actor.user_id, decided_reason=reason[:500],
            updated_at=now,
        )  # fmt: skip
        proposal = proposal_get(proposal_id)
        if not taken:
            raise _closed(proposal)
        audit.record(
            actor=actor, action="agent.proposal_approve", target=proposal, after=proposal_facts(proposal), reason=reason
        )
        proposal_tell(proposal)
    return _placed(actor, proposal)


def _placed(actor: Actor, proposal: Proposal) -> Proposal:
    order = order_place(
        actor=actor,
        account=account_get(proposal.account_id),
        symbol=proposal.symbol,
        side=proposal.side,
        quantity=proposal.quantity,
        client_order_id=proposal.client_order_id,
        strategy_id=proposal.strategy_id,
        execution_id=proposal.run.execution_id,
        mode=proposal.mode,
        source=proposal.source,
        timeframe=proposal.timeframe,
        adjustment=proposal.adjustment,
        purpose=OrderPurpose.CLOSE if proposal.reduces else OrderPurpose.OPEN,
    )
    with transaction.atomic():
        Proposal.objects.filter(pk=proposal.pk).update(order=order, updated_at=utcnow())
        proposal = proposal_get(proposal.pk)
        proposal_tell(proposal)
    return proposal


def proposal_reject(*, actor: Actor, proposal_id: UUID, reason: str = "") -> Proposal:
    """Reject a proposal: no order comes of it.

    Raises:
        ProposalNotFound
        ProposalClosed: it was decided already, or has expired.
    """
    now = utcnow()
    with transaction.atomic():
        taken = Proposal.objects.filter(pk=proposal_id, status=ProposalStatus.PENDING, expires_at__gt=now).update(
            status=ProposalStatus.REJECTED, decided_at=now, decided_by=actor.user_id, decided_reason=reason[:500],
            updated_at=now,
        )  # fmt: skip
        proposal = proposal_get(proposal_id)
        if not taken:
            raise _closed(proposal)
        audit.record(
            actor=actor, action="agent.proposal_reject", target=proposal, after=proposal_facts(proposal), reason=reason
        )
        proposal_tell(proposal)
    return proposal


def proposals_expire() -> int:
    """Close what nobody decided in time, and return how many those were. Any number may look at once."""
    due = Proposal.objects.filter(status=ProposalStatus.PENDING, expires_at__lte=utcnow())
    return sum(_expire(due, proposal_id) for proposal_id in list(due.values_list("pk", flat=True)[:BATCH]))


def approvals_carry_on() -> int:
    """Carry out approvals whose process died, and return how many proposals that settled. Any number may look at once.

    What somebody approved is placed within its time and its price bound, as if nothing had happened. When its time is up
    first, it expires, unless its order stands in the books already: then the two are only brought together.
    """
    done = 0
    for proposal_id in list(_orphans().values_list("pk", flat=True)[:BATCH]):
        try:
            done += _carried_on(proposal_get(proposal_id))
        except AppError as error:
            logger.warning("the approval of proposal %s is not carried out: %s", proposal_id, error.detail)
    return done


def _orphans() -> QuerySet[Proposal]:
    """Return the approved ones that nobody is placing."""
    return Proposal.objects.filter(status=ProposalStatus.APPROVED, order=None, updated_at__lt=utcnow() - PLACED_WITHIN)


def _carried_on(proposal: Proposal) -> bool:
    if not Order.objects.filter(client_order_id=proposal.client_order_id).exists():
        if proposal.expires_at <= utcnow():
            return _expire(_orphans(), proposal.pk)
        killswitch.assert_open(strategy_id=proposal.strategy_id)
        _price_check(proposal)
    if not _orphans().filter(pk=proposal.pk).update(updated_at=utcnow()):
        return False
    approver = proposal.decided_by
    name = f"approval by {'somebody' if approver is None else approver.get_username()}"[:150]
    _placed(Actor(kind="system", name=name, user_id=None if approver is None else approver.pk), proposal)
    return True


def _expire(which: QuerySet[Proposal], proposal_id: UUID) -> bool:
    with transaction.atomic():
        if not which.filter(pk=proposal_id).update(status=ProposalStatus.EXPIRED, updated_at=utcnow()):
            return False
        proposal_tell(proposal_get(proposal_id))
    return True


def proposal_tell(proposal: Proposal) -> None:
    """Tell the sockets how a proposal stands."""
    ids = {"run_id": str(proposal.run_id), "execution_id": str(proposal.run.execution_id)}
    tell("proposal", {**ids, **proposal_facts(proposal)})


def _open_check(proposal: Proposal) -> None:
    waits = proposal.status == ProposalStatus.PENDING or (
        proposal.status == ProposalStatus.APPROVED and proposal.order_id is None
    )
    if not waits or proposal.expires_at <= utcnow():
        raise _closed(proposal)


def _closed(proposal: Proposal) -> ProposalClosed:
    status = proposal.status
    if status == ProposalStatus.APPROVED and proposal.order_id is None and proposal.expires_at > utcnow():
        return ProposalClosed("Somebody has just approved it; its order is being placed.", extra={"status": status})
    if status == ProposalStatus.PENDING:
        status = ProposalStatus.EXPIRED
    return ProposalClosed(f"It is {status}; ask the agent for a new one.", extra={"status": str(status)})


def _price_check(proposal: Proposal) -> None:
    facts = series_facts(
        instrument=market.instrument_get(proposal.symbol),
        source=proposal.source,
        timeframe=proposal.timeframe,
        adjustment=proposal.adjustment,
        wall=utcnow(),
    )
    price = facts.reference_price
    if price is None:
        raise ProposalPriceMoved(f"There is no price of {proposal.symbol} any more that it could be held against.")
    moved = abs(price / proposal.reference_price - 1) * Decimal(100)
    if moved > proposal.price_bound_pct:
        raise ProposalPriceMoved(
            f"{proposal.symbol} was at {decimal_string(proposal.reference_price)} and is at {decimal_string(price)} "
            f"now, {moved:.2f} % away; the bound is {decimal_string(proposal.price_bound_pct)} %.",
            extra={"price": decimal_string(price), "moved_pct": round(float(moved), 4)},
        )
