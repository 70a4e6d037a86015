"""Writing a search's parameters to a strategy: through the promotion gate, or past it with a reason from who may."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from optimize import honesty, trials
from optimize.choices import JobKind, JobStatus, Verdict
from optimize.errors import (
    OptimizationNotApplicable,
    OptimizationNotFound,
    OptimizationUnfinished,
    OptimizationWithoutResult,
    PromotionRefused,
)
from optimize.honesty import Gate
from optimize.honesty.words import count_of, percent
from optimize.models import OptimizationJob, TrialRecord
from optimize.services.taking import params_take, step_configs
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.roles import Role
from workflows.errors import StrategyNotFound
from workflows.models import Strategy
from workflows.selectors import strategy_locked

# Who may take what the gate does not promote.
OVERRIDES = Role.OPERATOR


@dataclass(frozen=True)
class Applied:
    """What was written.

    Attributes:
        params: the parameters of the search that the strategy has from now on.
        promoted: whether the gate let them through; otherwise somebody took them with a reason.
    """

    strategy: Strategy
    params: Mapping[str, Any]
    promoted: bool


@transaction.atomic
def job_apply(
    *,
    actor: Actor,
    job: OptimizationJob,
    strategy_id: UUID,
    rank: int | None = None,
    reason: str = "",
    precondition: Callable[[Any], None] | None = None,
) -> Applied:
    """Write the chosen parameters of a complete search to a strategy of its type.

    Args:
        rank: of the results; the best ones when left out.
        reason: why they are taken although the gate does not promote them.
        precondition: sees the strategy, locked, before it is changed.

    Raises:
        OptimizationNotFound, OptimizationUnfinished, OptimizationWithoutResult: there is nothing to take.
        ValidationFailed: there is no such strategy or rank, or a reason is needed.
        OptimizationNotApplicable: the strategy does not decide by these parameters.
        PromotionRefused: the gate does not promote them, and the caller may not pass it.
        PermissionDenied: the strategy is somebody else's.
    """
    params, is_best = _chosen(job, rank)
    try:
        strategy = strategy_locked(strategy_id)
    except StrategyNotFound as error:
        raise ValidationFailed(errors=[FieldError("strategy_id", "not_found", error.detail)]) from None
    if strategy.strategy_type != job.strategy_type:
        raise OptimizationNotApplicable(
            f"Strategy {strategy.name!r} decides by {strategy.strategy_type or 'no strategy type'}, and this is a search "
            f"of {job.strategy_type}."
        )
    doubts = _doubts(job, strategy, is_best=is_best)
    if doubts:
        _pass_gate(actor, doubts, reason)
    # Locked from here on: what is taken from must not be cleared away meanwhile.
    if not OptimizationJob.objects.filter(pk=job.pk).update(applied_at=utcnow()):
        raise OptimizationNotFound(f"There is no optimisation {job.pk} any more.")
    before = dict(strategy.param)
    source = f"Taken from optimisation {job.pk}. {reason}".strip()
    changed = params_take(actor=actor, strategy=strategy, params=params, reason=source, precondition=precondition)
    audit.record(
        actor=actor,
        action="optimization.apply",
        target=job,
        before={"strategy_id": str(strategy.pk), "param": before},
        after={"strategy_id": str(strategy.pk), "param": changed.param, "params": params, "doubts": doubts},
        reason=reason,
    )
    return Applied(changed, params, promoted=not doubts)


def _chosen(job: OptimizationJob, rank: int | None) -> tuple[dict[str, Any], bool]:
    """Return the parameters, and whether they are the ones that were judged."""
    if job.kind != JobKind.STRATEGY:
        raise OptimizationWithoutResult(f"A job of the kind {job.kind} finds no parameters of a strategy.")
    if job.status != JobStatus.COMPLETE:
        raise OptimizationUnfinished(f"It is {job.status}; only a complete search was judged.")
    result = job.result or {}
    best = result.get("best_params")
    if rank is None:
        if best is None:
            raise OptimizationWithoutResult("No combination had a result; search other values or a longer period.")
        return best, True
    rows = result.get("results", [])
    if rank > len(rows):
        detail = f"There are {len(rows)} ranked results."
        raise ValidationFailed(errors=[FieldError("rank", "out_of_range", detail)])
    params = rows[rank - 1]["params"]
    return params, params == best


def _doubts(job: OptimizationJob, strategy: Strategy, *, is_best: bool) -> list[str]:
    """Return why the gate does not let the parameters through; nothing when it does."""
    doubts: list[str] = []
    verdict = (job.result or {}).get("verdict") or {}
    if job.verdict != Verdict.PROMOTE:
        doubts.append(verdict.get("text") or f"The verdict is {job.verdict or 'missing'}.")
    else:
        doubts += _tried_since(job)
    looser = _looser(job.request.get("gate") or {})
    if looser:
        doubts.append(f"The gate was made looser than it is by default: {', '.join(looser)}.")
    if not is_best:
        doubts.append("These are not the parameters that were judged.")
    unlike = [word for name, usual, word in _ONLY_IN_A_SEARCH if job.request.get(name, usual) != usual]
    if unlike:
        doubts.append(f"The search traded with {' and '.join(unlike)}, which the strategy does not.")
    searched = job.request.get("timeframe")
    read = {config.get("timeframe") for config in step_configs(strategy, "market_data")}
    if searched is not None and read - {searched}:
        doubts.append(f"The search looked at bars of {searched}, and the strategy reads others.")
    beyond = sorted(set(strategy.symbols) - set(job.request.get("symbols", [])))
    if beyond:
        doubts.append(f"The search did not look at {', '.join(beyond)}, which the strategy trades.")
    return doubts


def _tried_since(job: OptimizationJob) -> list[str]:
    """Return why the gate would no longer promote what it did: on the same data more was tried since."""
    result = job.result or {}
    own = TrialRecord.objects.filter(job=job).first()
    if own is None or not result.get("verdict", {}).get("evidence") or not result.get("deflated_sharpe"):
        return ["What it was judged by is not kept, so that nobody can say what it is worth by now: search again."]
    before = honesty.Evidence.of(result["verdict"]["evidence"])
    past = trials.tried(own, utcnow())
    if past == trials.tried(own, job.created_at) and past.count <= before.trials:
        return []
    again = honesty.judge_again(
        result["verdict"], result["deflated_sharpe"], trials=past.count, jobs=[trials.shown(own), *past.others]
    )
    if again.outcome == "promote":
        return []
    more = count_of(again.evidence.trials - before.trials, "combination")
    was = "unknown" if before.dsr is None else percent(before.dsr)
    return [
        f"Since it was judged, {more} more were tried on this data. {again.text} It was {was} after {before.trials:,}."
    ]


# What a search may trade with and no strategy does: field of the request, its usual value, and what it is called. What was
# judged with one of them is not what would be traded.
_ONLY_IN_A_SEARCH = (
    ("stop_loss", None, "a stop loss"),
    ("take_profit", None, "a profit target"),
    ("direction", "long_only", "short positions"),
)


def _looser(gate: Mapping[str, float]) -> list[str]:
    """Return the thresholds that ask for less than the default gate."""
    usual = Gate().as_dict()
    return [
        name
        for name, value in gate.items()
        if name in usual and (value > usual[name] if "pbo" in name else value < usual[name])
    ]


def _pass_gate(actor: Actor, doubts: list[str], reason: str) -> None:
    told = " ".join(doubts)
    if not actor.may(OVERRIDES):
        raise PromotionRefused(f"{told} An operator may take them all the same, with a reason.")
    if not reason.strip():
        detail = f"{told} Say why they are taken all the same."
        raise ValidationFailed(errors=[FieldError("reason", "required", detail)])
