"""What `/ws/agent` hears of a run, and the run's report: both follow from its rows. Plain data in, plain data out.

The messages of a run are one growing list that follows from what is committed, and the run's row counts how many of
them were told. So each is told once, whoever tells it and however often a worker dies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.autonomous.choices import Phase

_ENDED = {"completed", "failed", "cancelled"}


@dataclass(frozen=True)
class StepView:
    """What of a step's row is told. `begun`: an attempt of it has begun at some time."""

    name: str
    status: str
    begun: bool
    summary: str = ""
    error_code: str = ""
    error_message: str = ""
    output: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunView:
    """What of a run's row is told; ids as strings, times RFC 3339. `report` is None until it has ended."""

    run_id: str
    execution_id: str | None
    trigger: str
    autonomy: str
    symbols: Sequence[str]
    notes: Sequence[str]
    status: str
    report: Mapping[str, Any] | None = None


Message = tuple[str, dict[str, Any]]


def messages_of(run: RunView, steps: Sequence[StepView]) -> list[Message]:
    """Return everything that there is to tell by now, in order; a later call returns the same and what came since."""
    ids = {"run_id": run.run_id, "execution_id": run.execution_id}
    about = {"trigger": run.trigger, "autonomy": run.autonomy, "symbols": list(run.symbols), "notes": list(run.notes)}
    messages: list[Message] = [("run_started", {**ids, **about})]
    for step in steps:
        if not step.begun:
            break
        messages.append(("phase", {**ids, "phase": step.name, "status": "running"}))
        if step.status not in _ENDED:
            break
        messages += [(kind, {**ids, **data}) for kind, data in _came_of(step)]
        ended = {**ids, "phase": step.name, "status": step.status, "summary": step.summary}
        if step.error_code:
            ended |= {"error_code": step.error_code, "error_message": step.error_message}
        messages.append(("phase", ended))
    if run.report is not None:
        messages.append(("run_finished", {**ids, "status": run.status, "report": dict(run.report)}))
    return messages


def _came_of(step: StepView) -> list[Message]:
    if step.name == Phase.DECIDE:
        return [("decision", dict(each)) for each in step.output.get("decisions", [])]
    if step.name == Phase.ACT:
        proposals = [("proposal", dict(each)) for each in step.output.get("proposals", [])]
        return [*proposals, *(("order", dict(each)) for each in step.output.get("orders", []))]
    return []


def report_of(
    run: RunView,
    steps: Sequence[StepView],
    *,
    started_at: str,
    finished_at: str | None,
    code: str = "",
    reason: str = "",
) -> dict[str, Any]:
    """Return the report of a run that has ended, whichever way, from what its steps left."""
    outputs = {step.name: step.output for step in steps if step.status == "completed"}
    act = outputs.get(Phase.ACT, {})
    decisions = list(outputs.get(Phase.DECIDE, {}).get("decisions", []))
    analysed = outputs.get(Phase.ANALYSE, {})
    observations = [
        *outputs.get(Phase.OBSERVE, {}).get("observations", []),
        *analysed.get("observations", []),
    ]
    return {
        "id": run.run_id,
        "execution_id": run.execution_id,
        "status": run.status,
        "trigger": run.trigger,
        "autonomy": run.autonomy,
        "summary": outputs.get(Phase.REFLECT, {}).get("report_summary") or _summary(run, steps, code, reason),
        "started_at": started_at,
        "finished_at": finished_at,
        "notes": list(run.notes),
        "observations": observations,
        "decisions": decisions,
        "orders": list(act.get("orders", [])),
        "proposals": list(act.get("proposals", [])),
        "would_order": list(act.get("would_order", [])),
        "earlier_advice": list(outputs.get(Phase.REFLECT, {}).get("earlier_advice", [])),
        "tokens_used": int(analysed.get("tokens", 0)),
        "cost": analysed.get("cost"),
        "error": {"code": code, "message": reason} if code or reason else None,
        "phases": [{"phase": step.name, "status": step.status, "summary": step.summary} for step in steps],
    }


def _summary(run: RunView, steps: Sequence[StepView], code: str, reason: str) -> str:
    if run.status == "skipped":
        return f"It did not run: {reason}"
    last = next((step for step in reversed(steps) if step.begun), None)
    where = f" in the phase {last.name}" if last is not None else " before it began"
    why = f": {reason}" if reason else ""
    return f"The run {run.status}{where}{why}" if run.status != "completed" else "The run completed."
