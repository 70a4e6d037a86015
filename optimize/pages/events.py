"""An event of an adaptation as people read it: parameters before and after with what was allowed, and the evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optimize.adaptation.choices import EventStatus, Mode, Trigger
from optimize.adaptation.clamping import reach
from optimize.adaptation.models import AdaptationEvent, LiveAdaptation
from optimize.pages import drawing
from workflows.strategies import StrategyType

TONES: Mapping[str, str] = {
    EventStatus.APPLIED: "good",
    EventStatus.PROPOSED: "active",
    EventStatus.SUGGESTED: "active",
    EventStatus.FROZEN: "careful",
    EventStatus.STALE: "careful",
    EventStatus.CANCELLED: "careful",
    EventStatus.ROLLED_BACK: "careful",
    EventStatus.FAILED: "bad",
    EventStatus.REJECTED: "bad",
}
OUTCOME_WORDS: Mapping[str, str] = {
    "approved": "Approved",
    "rejected": "Rejected",
    "superseded": "Superseded",
    "rolled_back": "Taken back",
}
# Figures of unseen bars that are shown, with the filter that writes each.
FIGURES: tuple[tuple[str, str, str], ...] = (
    ("return", "Return", "percent"),
    ("sharpe", "Sharpe ratio", "figure"),
    ("max_drawdown", "Deepest drawdown", "percent"),
    ("trades", "Trades", "figure"),
)


@dataclass(frozen=True)
class Moved:
    """One parameter that an event moves or would move.

    Attributes:
        low, high: how far it might have gone, both included; None where it is no number or might not move.
    """

    name: str
    before: Any
    after: Any
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Compared:
    """One figure of both sets of parameters on bars that the search did not see; `form` names how it is written."""

    name: str
    form: str
    live: Any
    other: Any


@dataclass(frozen=True)
class EventLine:
    """One entry of the history.

    Attributes:
        curves: what one unit became on the unseen bars, by the live parameters and by the found ones.
        p, p_adjusted: as words.
        may: the decisions that it still takes: approve, reject, rollback.
        unmoved: how many parameters stay as they are.
    """

    event: AdaptationEvent
    tone: str
    outcome: str
    actor: str
    moved: list[Moved]
    unmoved: int
    compared: list[Compared]
    curves: tuple[drawing.Line, drawing.Line] | None
    p: str
    p_adjusted: str
    evidence: Mapping[str, Any]
    may: list[str] = field(default_factory=list)


def event_line(
    event: AdaptationEvent,
    adaptation: LiveAdaptation,
    strategy_type: StrategyType | None,
    *,
    outcome: str,
    returnable: int | None,
) -> EventLine:
    """Return one entry.

    Args:
        outcome: how it was settled, as `selectors.outcomes` has it; empty where there is nothing to settle.
        returnable: the event that a rollback may take back.
    """
    after = event.applied_params or event.proposed_params or {}
    before = event.live_params or {}
    moved = [
        _moved(
            name, before.get(name), value, adaptation, strategy_type, bounded=event.status != EventStatus.ROLLED_BACK
        )
        for name, value in after.items()
        if before.get(name) != value
    ]
    return EventLine(
        event=event,
        tone=TONES.get(event.status, ""),
        outcome=OUTCOME_WORDS.get(outcome, ""),
        # The desk acts for all the others.
        actor=event.actor_name if event.trigger in (Trigger.DECISION, Trigger.STOP) else "",
        moved=moved,
        unmoved=len(after) - len(moved),
        compared=compared(event.evidence),
        curves=curves(event.evidence),
        p=chance(event.evidence.get("p")),
        p_adjusted=chance(event.evidence.get("p_adjusted")),
        evidence=event.evidence,
        may=_may(event, adaptation, outcome, returnable),
    )


def _may(event: AdaptationEvent, adaptation: LiveAdaptation, outcome: str, returnable: int | None) -> list[str]:
    if adaptation.status != "active":
        return []
    if outcome == "open" and adaptation.mode == Mode.APPROVE:
        return ["approve", "reject"]
    return ["rollback"] if event.number == returnable else []


def _moved(
    name: str,
    before: Any,
    after: Any,
    adaptation: LiveAdaptation,
    strategy_type: StrategyType | None,
    *,
    bounded: bool,
) -> Moved:
    parameter = next((one for one in strategy_type.parameters if one.name == name), None) if strategy_type else None
    if parameter is None or before is None or not bounded:
        return Moved(name, before, after)
    bounds = reach(parameter, before, adaptation.max_param_change_pct)
    return Moved(name, before, after) if bounds is None else Moved(name, before, after, *bounds)


def compared(evidence: Mapping[str, Any]) -> list[Compared]:
    """Return the figures on unseen bars of the live parameters beside the found ones, those that either has."""
    live, other = evidence.get("live"), evidence.get("chosen")
    if not isinstance(live, Mapping) or not isinstance(other, Mapping):
        return []
    return [
        Compared(words, form, live.get(name), other.get(name))
        for name, words, form in FIGURES
        if live.get(name) is not None or other.get(name) is not None
    ]


def curves(evidence: Mapping[str, Any]) -> tuple[drawing.Line, drawing.Line] | None:
    """Return both curves of the unseen bars on one scale; None where there are not both."""
    curve = evidence.get("curve")
    if not isinstance(curve, Mapping) or not curve.get("live") or not curve.get("chosen"):
        return None
    between = drawing.span(curve["live"], curve["chosen"])
    live, found = drawing.line(curve["live"], between), drawing.line(curve["chosen"], between)
    return None if live is None or found is None else (live, found)


def chance(p: float | None) -> str:
    """Return a p-value as people write it; empty where there is none."""
    if p is None:
        return ""
    return "under 0.001" if p < 0.001 else f"{p:.3f}"
