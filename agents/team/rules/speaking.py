"""What a member with the desk's rules says: evidence in plain sentences, then its recommendation.

The same figures and the same words heard give the same words. Nothing is invented: what is missing is said, and it
lowers the confidence.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.team.fencing import unfenced
from agents.team.recommendations import recommendation_line, recommendation_read
from agents.team.rules.evidence import RESTLESS_PCT, Point, missing, points, score_of
from agents.team.rules.figures import Figures
from agents.team.rules.risk import Veto, levels, risk_text, vetoes
from agents.team.words import Member, Role, Task
from tradingsite.common.decimals import decimal_string

SAYS_WHAT_IT_IS = "desk-rules, offline: rules over the tools' figures, no language model."
# Between these the evidence is called even.
THRESHOLD = 0.3
# How the decider weighs what it heard against its own look at the figures.
_HEARD, _OWN = 0.7, 0.3
_SURE, _UNSURE = 0.95, 0.05
_SUBJECTS = ("trend", "momentum", "volatility", "levels", "valuation", "news")
_SUBJECTS_OF = {
    "get_indicators": ("trend", "momentum", "volatility"),
    "get_bars": ("levels",),
    "get_fundamentals": ("valuation",),
    "get_news": ("news",),
}
_WORDS_OF_MISSING = {
    "trend": "too few bars for the averages",
    "momentum": "too few bars for the RSI",
    "volatility": "too few bars for an average true range",
    "levels": "too few bars for support and resistance",
    "valuation": "no fundamentals",
    "news": "no news",
}
_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {"get_bars": {"n": 30}, "get_news": {"n": 20}}
_SIGNS = {"BUY": 1, "SELL": -1, "HOLD": 0}
_FIGURE = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")
_VETO = re.compile(r"^Veto: no (?P<what>order|purchase), because (?P<why>[^\n]{1,500})$", re.MULTILINE)


@dataclass(frozen=True)
class Heard:
    """What another member said last."""

    name: str
    text: str


def tool_calls(member: Member, task: Task, offered: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Return the calls by which the member gets its figures: each of its tools once, as far as it is offered."""
    return [
        (tool, {"symbol": task.symbol, **_ARGUMENTS.get(tool, {})}) for tool in member.tools if tool in set(offered)
    ]


def speech(member: Member, task: Task, figures: Figures, heard: Sequence[Heard], *, turn: int = 1) -> str:
    """Return what the member says in its `turn`, counted from 1, having heard the others' last words."""
    said = _SPEAKERS[member.role](_Mind(member, task, figures, tuple(heard), turn))
    if turn > 1:
        return "\n".join(said)
    exercise = ["The prices are generated, so this is an exercise."] if figures.generated else []
    return "\n".join([SAYS_WHAT_IT_IS, *exercise, *said])


@dataclass(frozen=True)
class _Mind:
    member: Member
    task: Task
    figures: Figures
    heard: tuple[Heard, ...]
    turn: int

    @property
    def subjects(self) -> list[str]:
        tools = set(self.member.tools)
        known = {subject for tool in tools for subject in _SUBJECTS_OF.get(tool, ())}
        if "get_indicators" not in tools and tools & {"get_fundamentals", "get_news"}:
            # Bars are there for the price alone; levels are the technical analyst's.
            known.discard("levels")
        return [subject for subject in _SUBJECTS if subject in known]

    @property
    def found(self) -> list[Point]:
        return points(self.figures, self.subjects)

    @property
    def gaps(self) -> list[str]:
        return missing(self.figures, self.subjects, self.member.tools)

    @property
    def score(self) -> float:
        return score_of(self.found)

    def sure(self, confidence: float) -> float:
        """Return a confidence after what lowers it: each gap in the evidence, and a restless market."""
        lowered = confidence * 0.85 ** len(self.gaps)
        share = self.figures.value("natr_14")
        if share is not None and share >= RESTLESS_PCT:
            lowered *= 0.85
        return max(_UNSURE, min(_SURE, lowered))

    def stance(self) -> tuple[str, float]:
        """Return what the evidence at hand advises, and how surely."""
        if not any(point.weight for point in self.found):
            return "HOLD", 0.1
        return _stance(self.score)[0], self.sure(_stance(self.score)[1])

    def gaps_said(self) -> list[str]:
        said = []
        if self.gaps:
            words = ", ".join(_WORDS_OF_MISSING[gap] for gap in self.gaps)
            said.append(f"What is missing: {words}. I am less sure for it, and put nothing in its place.")
        if self.figures.refused:
            said.append(
                "Not answered: " + "; ".join(f"{tool}: {why}" for tool, why in self.figures.refused.items()) + "."
            )
        return said


def _stance(score: float) -> tuple[str, float]:
    if abs(score) <= THRESHOLD:
        return "HOLD", 0.4 + 0.3 * (1 - abs(score) / THRESHOLD)
    return ("BUY" if score > 0 else "SELL"), 0.4 + 0.55 * abs(score)


def _analyst(mind: _Mind) -> list[str]:
    action, confidence = mind.stance()
    said = [point.text for point in mind.found]
    if not said:
        said.append(f"I have no figures on {mind.task.symbol} to judge by.")
    elif action == "HOLD":
        said.append("Together that is too even to act on.")
    else:
        contrary = [point for point in mind.found if point.score * _SIGNS[action] < 0]
        if contrary:
            said.append(f"Against my view stands the {_listed([point.subject for point in contrary])}.")
    return [*said, *mind.gaps_said(), recommendation_line(action, confidence)]


def _advocate(mind: _Mind, sign: int) -> list[str]:
    action, side, other = ("BUY", "a rise", "a fall") if sign > 0 else ("SELL", "a fall", "a rise")
    found = [point for point in mind.found if point.weight]
    own = sorted((p for p in found if p.score * sign > 0), key=lambda p: -abs(p.score * p.weight))
    against = sorted((p for p in found if p.score * sign < 0), key=lambda p: -abs(p.score * p.weight))
    said = []
    if mind.turn > 1:
        said += _reply(mind, own, against)
    elif own:
        said.append(f"For {side} speaks: " + " ".join(point.text for point in own))
    else:
        said.append(f"I find nothing in the figures that speaks for {side}.")
    if mind.turn == 1 and against:
        subjects = _listed([f"the {point.subject}" for point in against])
        said.append(f"I admit what speaks for {other}, {subjects}: " + " ".join(point.text for point in against))
    confidence = mind.sure((1 + sign * mind.score) / 2) if found else _UNSURE
    return [*said, *mind.gaps_said(), recommendation_line(action, confidence)]


def _reply(mind: _Mind, own: Sequence[Point], against: Sequence[Point]) -> list[str]:
    said = []
    opposed = [each for each in mind.heard if (r := _read(each)) and r.action not in (_own_action(mind), "HOLD")]
    if opposed:
        said.append(f"I have heard {_listed([each.name for each in opposed])}.")
    if against:
        said.append(f"What I cannot explain away: {against[0].text}")
    if own:
        said.append(f"What I stand by: {own[0].text}")
    return said or ["I have nothing to add."]


def _own_action(mind: _Mind) -> str:
    return "BUY" if mind.member.role is Role.BULL else "SELL"


def _bull(mind: _Mind) -> list[str]:
    return _advocate(mind, 1)


def _bear(mind: _Mind) -> list[str]:
    return _advocate(mind, -1)


def _risk(mind: _Mind) -> list[str]:
    action, confidence = mind.stance()
    said = [point.text for point in mind.found if point.subject in ("volatility", "trend")]
    said += risk_text(mind.figures, mind.task.price, buying=action != "SELL")
    if mind.figures.kill_switch is None:
        said.append("I could not see the limits, so I cannot say how much room is left.")
        confidence *= 0.8
    forbidding = vetoes(mind.figures)
    said += [veto.line for veto in forbidding]
    if (action == "BUY" and forbidding) or any(veto.every_order for veto in forbidding):
        action, confidence = "HOLD", 0.9
    return [*said, *mind.gaps_said(), recommendation_line(action, confidence)]


def _decision(mind: _Mind) -> list[str]:
    said, total = _weighed(mind)
    forbidding = _vetoes_heard(mind) + vetoes(mind.figures)
    action, confidence = _stance(total) if total is not None else ("HOLD", 0.1)
    if not any(point.weight for point in mind.found):
        # Who only heard others is no surer than the surest of them.
        confidence = min(
            confidence, max((advice.confidence or 0 for each in mind.heard if (advice := _read(each))), default=0.1)
        )
    confidence = mind.sure(confidence)
    reason = said[-1] if said else f"Nobody had figures on {mind.task.symbol}."
    instead = _held_back(mind, action, forbidding)
    if instead:
        action, reason = "HOLD", f"{instead} {reason}"
        said.append(instead)
    bounds = levels(mind.figures, mind.task.price) if action == "BUY" else None
    if bounds is not None:
        said.append(f"The stop lies at {decimal_string(bounds.stop)}, the target at {decimal_string(bounds.target)}.")
    elif action == "BUY":
        said.append("Without an average true range I set no stop and no target.")
    decision = {
        "action": action,
        "confidence": round(confidence, 2),
        "reason": reason,
        "stop": None if bounds is None else decimal_string(bounds.stop),
        "target": None if bounds is None else decimal_string(bounds.target),
    }
    block = f"```json\n{json.dumps(decision, ensure_ascii=False)}\n```"
    return [*said, *mind.gaps_said(), recommendation_line(action, confidence), block]


def _held_back(mind: _Mind, action: str, forbidding: Sequence[Veto]) -> str:
    """Return why what the evidence advises is not done; empty when nothing keeps from it."""
    held = mind.task.held
    stopped = next((veto for veto in forbidding if veto.every_order or action == "BUY"), None)
    if action == "HOLD":
        return ""
    if stopped is not None:
        return f"A veto stands: {stopped.reason}."
    if action == "BUY" and held > 0:
        return f"The evidence points up, and {decimal_string(held)} is held already."
    if action == "BUY" and held < 0:
        return f"The evidence points up, but the account is short {decimal_string(-held)}."
    if action == "SELL" and held <= 0:
        return "The evidence points down, and there is nothing to give away."
    return ""


def _weighed(mind: _Mind) -> tuple[list[str], float | None]:
    """Return how the advice of the others and the own evidence come out, in words and as -1 to 1; None without both."""
    read = [(each, advice) for each in mind.heard if (advice := _read(each)) is not None]
    said: list[str] = []
    parts: list[tuple[float, float]] = []
    if read:
        listed = ", ".join(
            f"{each.name} {advice.action}" + ("" if advice.confidence is None else f" ({advice.confidence:.2f})")
            for each, advice in read
        )
        weights = [
            (0.5 if advice.confidence is None else advice.confidence) * _grounded(each.text) for each, advice in read
        ]
        if sum(weights) > 0:
            signs = [_SIGNS[advice.action] for _, advice in read]
            heard = sum(w * s for w, s in zip(weights, signs, strict=True)) / sum(weights)
            parts.append((_HEARD, heard))
        said.append(f"I heard {listed}.")
    own = [point for point in mind.found if point.weight]
    if own:
        parts.append((_OWN, score_of(own)))
        said.append(" ".join(point.text for point in own))
    if not parts:
        return said, None
    total = sum(weight * score for weight, score in parts) / sum(weight for weight, _ in parts)
    verdict = "up" if total > THRESHOLD else "down" if total < -THRESHOLD else "neither way clearly"
    backers = [
        f"{action} from {_listed(names)}"
        for action in ("BUY", "SELL", "HOLD")
        if (names := [each.name for each, advice in read if advice.action == action])
    ]
    said.append(
        f"Weighed by confidence and by the figures behind it, the evidence points {verdict} "
        f"({total:+.2f} on a scale from -1 to 1){': ' if backers else ''}{'; '.join(backers)}."
    )
    return said, total


def _read(each: Heard) -> Any:
    return recommendation_read(unfenced(each.text))


def _grounded(text: str) -> float:
    """Return how much an opinion counts by the figures that it names: half of it without any, all of it with four."""
    body = re.sub(r"(?im)^[\s>*_#-]*recommendation.*$", "", unfenced(text))
    return 0.5 + 0.125 * min(4, len(_FIGURE.findall(body)))


def _vetoes_heard(mind: _Mind) -> list[Veto]:
    return [
        Veto(found["why"].rstrip("."), every_order=found["what"] == "order")
        for each in mind.heard
        for found in _VETO.finditer(unfenced(each.text))
    ]


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


_SPEAKERS = {
    Role.ANALYST: _analyst,
    Role.BULL: _bull,
    Role.BEAR: _bear,
    Role.RISK: _risk,
    Role.DECISION: _decision,
}
