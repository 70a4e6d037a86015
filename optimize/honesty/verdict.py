"""Whether a search's winner may be traded: promote, review or reject, each with its reasons.

Promote means that nothing speaks against it. Review means that it is not proved: a person may take it, with a reason of
their own. Reject means that the figures speak for luck or for a loss. A fact that is missing is never a pass.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, TypeGuard

from optimize.honesty.words import INVENTED, count_of, number, percent
from tradingsite.common.errors import FieldError, ValidationFailed

Outcome = Literal["promote", "review", "reject"]
Severity = Literal["review", "reject"]


@dataclass(frozen=True)
class Range:
    """What a threshold may be, ends included; a gate can be made stricter, and looser only this far."""

    least: float
    most: float


RANGES: Mapping[str, Range] = {
    "min_dsr": Range(0.5, 0.9999),
    "reject_dsr": Range(0.0, 0.9999),
    "max_pbo": Range(0.0, 0.5),
    "reject_pbo": Range(0.0, 1.0),
    "min_trades": Range(1, 100_000),
    "min_folds": Range(1, 1_000),
    "min_efficiency": Range(0.0, 10.0),
    "min_plateau": Range(0.0, 1.0),
    "min_profitable_folds": Range(0.0, 1.0),
}


@dataclass(frozen=True)
class Gate:
    """The thresholds.

    Attributes:
        min_dsr: the least Deflated Sharpe Ratio that is promoted; below `reject_dsr` it is rejected.
        max_pbo: the greatest Probability of Backtest Overfitting that is promoted; above `reject_pbo` it is rejected.
        min_trades: closed out-of-sample trades.
        min_folds: folds that were evaluated.
        min_efficiency: walk-forward efficiency, the out-of-sample part of the in-sample Sharpe ratio.
        min_plateau: the mean score of the neighbours on the grid as a part of the winner's.
        min_profitable_folds: the part of the folds whose chosen parameters made money out of sample.
    """

    min_dsr: float = 0.95
    reject_dsr: float = 0.8
    max_pbo: float = 0.2
    reject_pbo: float = 0.5
    min_trades: int = 30
    min_folds: int = 3
    min_efficiency: float = 0.25
    min_plateau: float = 0.33
    min_profitable_folds: float = 0.5

    @classmethod
    def clean(cls, data: object, *, pointer: str = "gate") -> Self:
        """Return the gate that `data` asks for; what it does not name keeps its default.

        Args:
            data: a mapping of names to numbers.
            pointer: where `data` stands in the request.

        Raises:
            ValidationFailed: naming every unknown key and every number that is none or is out of range.
        """
        if not isinstance(data, Mapping):
            raise ValidationFailed(errors=[FieldError(pointer, "INVALID", "Must be an object of thresholds.")])
        whole = {each.name for each in fields(cls) if each.type in (int, "int")}
        errors: list[FieldError] = []
        values: dict[str, Any] = {}
        for name, value in data.items():
            fault = _fault(str(name), value, whole=name in whole)
            if fault:
                errors.append(FieldError(f"{pointer}/{name}", "INVALID", fault))
            else:
                values[str(name)] = int(value) if name in whole else float(value)
        if errors:
            raise ValidationFailed(errors=errors)
        gate = cls(**values)
        if gate.reject_dsr > gate.min_dsr:
            errors.append(FieldError(f"{pointer}/reject_dsr", "INVALID", "Must be at most min_dsr."))
        if gate.reject_pbo < gate.max_pbo:
            errors.append(FieldError(f"{pointer}/reject_pbo", "INVALID", "Must be at least max_pbo."))
        if errors:
            raise ValidationFailed(errors=errors)
        return gate

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Evidence:
    """What is known of a search's winner. None is "not known", and counts against it.

    Attributes:
        dsr: of its stitched out-of-sample returns, with every trial of the ledger.
        pbo: of the search; None also where a single combination was searched.
        probability_of_loss: how often the combination that was best in one half lost money in the other.
        combinations: searched by this job.
        trials: of the ledger, those of this job included.
        sharpe: out of sample, any unit.
        trades: closed, out of sample, of all symbols.
        folds: evaluated.
        efficiency: walk-forward efficiency.
        profitable_folds: the part of the folds whose chosen parameters made money out of sample.
        plateau: neighbours' mean score as a part of the winner's; None where there are no neighbours.
        neighbours: how many of the winner's neighbours on the grid were evaluated; 0 where nothing is a grid.
        edges: the parameters at the first or last value of their axis while better values may lie beyond.
        ruined: the winner lost everything in some window, in or out of sample.
        holding: the Sharpe ratio, in the unit of `sharpe`, of holding all symbols in equal parts over the same
            stretches; None where there is nothing to hold.
        generated: the prices of at least one symbol are invented.
    """

    dsr: float | None
    pbo: float | None
    probability_of_loss: float | None
    combinations: int
    trials: int
    sharpe: float | None
    trades: int
    folds: int
    efficiency: float | None
    profitable_folds: float | None
    plateau: float | None = None
    neighbours: int = 0
    edges: tuple[str, ...] = ()
    ruined: bool = False
    holding: float | None = None
    generated: bool = False

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Return what `as_dict` was made of."""
        return cls(**{**data, "edges": tuple(data["edges"])})

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "edges": list(self.edges)}


@dataclass(frozen=True)
class Reason:
    """One thing that speaks against promotion: a stable code, and the same in plain words."""

    code: str
    severity: Severity
    text: str
    value: float | None = None
    limit: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Verdict:
    """What may be done with the winner, and why; a promoted one has no reasons."""

    outcome: Outcome
    reasons: tuple[Reason, ...]
    text: str
    gate: Gate
    evidence: Evidence

    def as_dict(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "text": self.text,
            "reasons": [each.as_dict() for each in self.reasons],
            "gate": self.gate.as_dict(),
            "evidence": self.evidence.as_dict(),
        }


def judge(evidence: Evidence, gate: Gate | None = None) -> Verdict:
    """Return the verdict: reject where one reason rejects, review where any reason stands, else promote."""
    gate = gate or Gate()
    looks = (_invented, _ruin, _loss, _luck, _overfitting, _holding, _sample, _efficiency, _folds, _plateau, _edges)
    found = [reason for look in looks if (reason := look(evidence, gate)) is not None]
    if not found:
        text = "Nothing speaks against it: the edge is unlikely to be luck, and the choice held out of sample."
        return Verdict("promote", (), text, gate, evidence)
    rejected = [each for each in found if each.severity == "reject"]
    # Rejecting reasons first, each kind in the order above, so that the text begins with what weighs most.
    reasons = (*rejected, *(each for each in found if each.severity != "reject"))
    if rejected:
        return Verdict("reject", reasons, f"Not to be traded. {rejected[0].text}", gate, evidence)
    return Verdict("review", reasons, f"Not proved; a person must look. {reasons[0].text}", gate, evidence)


def _fault(name: str, value: object, *, whole: bool) -> str:
    if name not in RANGES:
        return f"There is no such threshold; there are {', '.join(RANGES)}."
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "Must be a number."
    if whole and value != int(value):
        return "Must be a whole number."
    allowed = RANGES[name]
    if not allowed.least <= value <= allowed.most:
        return f"Must be from {allowed.least:g} to {allowed.most:g}."
    return ""


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _invented(evidence: Evidence, gate: Gate) -> Reason | None:
    return Reason("PRICES_GENERATED", "review", INVENTED) if evidence.generated else None


def _ruin(evidence: Evidence, gate: Gate) -> Reason | None:
    if not evidence.ruined:
        return None
    return Reason("RUINED", "reject", "It lost the whole account in at least one window.")


def _loss(evidence: Evidence, gate: Gate) -> Reason | None:
    if not _known(evidence.sharpe):
        return Reason("NO_RETURNS", "reject", "Its out-of-sample returns do not vary: it hardly traded.")
    if evidence.sharpe <= 0:
        return Reason("OUT_OF_SAMPLE_LOSS", "reject", "It lost money out of sample.", evidence.sharpe, 0.0)
    return None


def _luck(evidence: Evidence, gate: Gate) -> Reason | None:
    value = evidence.dsr
    if not _known(value):
        return Reason("DSR_UNKNOWN", "review", "Whether it is luck cannot be told: too few returns, or none that vary.")
    if value >= gate.min_dsr:
        return None
    tried = count_of(evidence.trials, "trial")
    text = f"The chance that its edge is real is {percent(value)} after {tried} on this data; {percent(gate.min_dsr)} is needed."
    return Reason("DSR_LOW", "reject" if value < gate.reject_dsr else "review", text, value, gate.min_dsr)


def _overfitting(evidence: Evidence, gate: Gate) -> Reason | None:
    value = evidence.pbo
    if not _known(value):
        if evidence.trials <= 1:
            return None  # nothing was chosen, now or earlier
        return Reason(
            "PBO_UNKNOWN",
            "review",
            "How much the choice is fitted to the past cannot be told: search at least two combinations over a longer "
            "period.",
        )
    if value <= gate.max_pbo:
        return None
    text = (
        f"The combination that is best in one half of the data is below the median in the other half {percent(value)} "
        f"of the time; at most {percent(gate.max_pbo)} is allowed."
    )
    loss = evidence.probability_of_loss
    harmless = loss is not None and loss <= 0.05
    if harmless:
        text += " It seldom loses money there: the combinations are alike, and which of them is taken matters little."
    severity: Severity = "reject" if value > gate.reject_pbo and not harmless else "review"
    return Reason("PBO_HIGH", severity, text, value, gate.max_pbo)


def _holding(evidence: Evidence, gate: Gate) -> Reason | None:
    own, held = evidence.sharpe, evidence.holding
    if not _known(own) or not _known(held) or own <= 0 or own > held:
        return None
    text = "Holding the same symbols all the time had at least its Sharpe ratio: the market made it, not the rule."
    return Reason("NO_BETTER_THAN_HOLDING", "review", text, own, held)


def _sample(evidence: Evidence, gate: Gate) -> Reason | None:
    if evidence.trades >= gate.min_trades:
        return None
    text = f"It closed {count_of(evidence.trades, 'trade')} out of sample; fewer than {gate.min_trades} prove little."
    return Reason("TOO_FEW_TRADES", "review", text, evidence.trades, gate.min_trades)


def _efficiency(evidence: Evidence, gate: Gate) -> Reason | None:
    value = evidence.efficiency
    if not _known(value):
        return Reason(
            "EFFICIENCY_UNKNOWN", "review", "How much of its in-sample figure held out of sample cannot be told."
        )
    if value >= gate.min_efficiency:
        return None
    if value <= 0:
        text = "What was chosen in sample made nothing out of sample."
        return Reason("EFFICIENCY_LOW", "reject", text, value, gate.min_efficiency)
    text = f"Out of sample it keeps {percent(value)} of its in-sample Sharpe ratio; {percent(gate.min_efficiency)} is needed."
    return Reason("EFFICIENCY_LOW", "review", text, value, gate.min_efficiency)


def _folds(evidence: Evidence, gate: Gate) -> Reason | None:
    if evidence.folds < gate.min_folds:
        text = f"It was tried in {count_of(evidence.folds, 'fold')}; {gate.min_folds} are needed."
        return Reason("TOO_FEW_FOLDS", "review", text, evidence.folds, gate.min_folds)
    value = evidence.profitable_folds
    if not _known(value):
        return Reason("FOLDS_UNKNOWN", "review", "In how many folds the choice made money cannot be told.")
    if value >= gate.min_profitable_folds:
        return None
    text = f"The choice made money in {percent(value)} of the folds; {percent(gate.min_profitable_folds)} is needed."
    return Reason("FOLDS_UNPROFITABLE", "review", text, value, gate.min_profitable_folds)


def _plateau(evidence: Evidence, gate: Gate) -> Reason | None:
    value = evidence.plateau
    if not evidence.neighbours:
        return None  # a single combination, or a search that is no grid
    if not _known(value):
        return Reason("PLATEAU_UNKNOWN", "review", "How its neighbours on the grid fare cannot be told.")
    if value >= gate.min_plateau:
        return None
    text = (
        f"Its neighbours on the grid reach {number(value)} of its score on average; {number(gate.min_plateau)} is needed. "
        "A lone peak seldom lasts."
    )
    return Reason("PLATEAU_POOR", "review", text, value, gate.min_plateau)


def _edges(evidence: Evidence, gate: Gate) -> Reason | None:
    if not evidence.edges:
        return None
    names = ", ".join(evidence.edges)
    text = f"The best value is the first or last that was searched ({names}): widen the grid and search again."
    return Reason("AT_GRID_EDGE", "review", text)
