"""What a look at a rule finds, and what follows from it. Plain data in, plain data out; no Django here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from tradingsite.common.clock import rfc3339

DETAIL_MAX = 300


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as the evaluator reads it; the fields are those of its row."""

    id: UUID
    version: int
    kind: str
    name: str
    symbol: str
    threshold: Decimal | None
    config: Mapping[str, Any]
    severity: str
    cooldown_s: int
    snoozed_until: datetime | None
    channels: Sequence[str]
    created_by_id: int | None
    watched_since: datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """What the last look left; the fields are those of the row, which is not there before the first."""

    revision: int = 0
    met: bool | None = None
    problem: str = ""
    detail: str = ""
    value: Decimal | None = None
    observed_at: datetime | None = None
    since: datetime | None = None
    last_triggered_at: datetime | None = None
    triggered_count: int = 0
    suppressed_count: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """One observation.

    Attributes:
        met: whether the condition holds; of a crossing, whether the value is above. None keeps the last answer: the
            value lies on the line.
        at: the moment that the value is of, by the market's clock.
        text: tells what an alert would say; asked for only when there is one.
        key: what the observation is known by, where that is not its moment.
    """

    met: bool | None
    value: Decimal | None
    threshold: Decimal | None
    at: datetime
    text: Callable[[], str]
    key: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Why a rule cannot be evaluated now: a stable code, and what is missing."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Change:
    """What a look at a rule changes: its state, and whether an alert is raised."""

    rule: Rule
    after: Stored
    seen: Seen | None = None
    fires: bool = False
    # Of an occurrence, what it is known by: the rule will have seen it, told or not.
    occurrence: str = ""

    @property
    def observation(self) -> str:
        """What the alert is known by among those of its rule: repeated work finds it there already."""
        assert self.seen is not None
        return f"{self.rule.version}@{self.seen.key or rfc3339(self.seen.at)}"


@dataclass(frozen=True, slots=True)
class Crossing:
    """Which crossings fire. A level instead fires whenever it comes to hold, also at the first look."""

    up: bool
    down: bool


LEVEL: Crossing | None = None


def judge(rule: Rule, stored: Stored, found: Seen | Gap, *, crossing: Crossing | None, now: datetime) -> Change | None:
    """Return what `found` changes, or None: the same answer again writes nothing.

    A level (`crossing` None) fires when it comes to hold: from not holding, from not having been looked at, and after a
    time without data if it did not hold before it. A crossing needs a side to come from. Neither fires again while it
    stays so. What happens while the rule is snoozed or cooling down is counted and not raised.
    """
    if nothing_new(stored, found):
        return None
    if isinstance(found, Gap):
        detail = found.detail[:DETAIL_MAX]
        after = replace(stored, revision=stored.revision + 1, problem=found.code, detail=detail, since=now)
        return Change(rule, after)
    met = stored.met if found.met is None else found.met
    changed = met != stored.met
    fires = changed and _fires(stored.met, met, crossing)
    suppressed = fires and _held_back(rule, stored, now)
    told = fires and not suppressed
    after = Stored(
        revision=stored.revision + 1,
        met=met,
        problem="",
        detail="",
        value=found.value,
        observed_at=found.at,
        since=now,
        last_triggered_at=now if told else stored.last_triggered_at,
        triggered_count=stored.triggered_count + told,
        suppressed_count=stored.suppressed_count + suppressed,
    )
    return Change(rule, after, found, told)


def nothing_new(stored: Stored, found: Seen | Gap) -> bool:
    """Say whether `found` changes nothing, which is so of most rules at most looks."""
    if isinstance(found, Gap):
        return stored.problem == found.code
    if stored.observed_at is not None and found.at < stored.observed_at:
        # Somebody has seen what came later.
        return True
    return not stored.problem and (found.met is None or found.met == stored.met)


def _fires(before: bool | None, met: bool | None, crossing: Crossing | None) -> bool:
    if crossing is None:
        return met is True
    if before is None or met is None:
        return False
    return crossing.up if met else crossing.down


def _held_back(rule: Rule, stored: Stored, now: datetime) -> bool:
    if rule.snoozed_until is not None and now < rule.snoozed_until:
        return True
    last = stored.last_triggered_at
    return last is not None and now < last + timedelta(seconds=rule.cooldown_s)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened once: a run failed, a run decided, a switch was set.

    Attributes:
        key: what it is known by, the same whenever it is read.
        facts: words that a rule may ask for, such as `strategy_id` and `action`.
    """

    key: str
    at: datetime
    text: str
    symbol: str = ""
    value: Decimal | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


def judge_occurrence(rule: Rule, stored: Stored, found: Occurrence, *, now: datetime) -> Change:
    """Return what an occurrence that the rule asks for changes: an alert, or one more that was held back."""
    suppressed = _held_back(rule, stored, now)
    after = replace(
        stored,
        revision=stored.revision + 1,
        problem="",
        detail="",
        observed_at=max(found.at, stored.observed_at or found.at),
        value=found.value,
        since=now,
        last_triggered_at=stored.last_triggered_at if suppressed else now,
        triggered_count=stored.triggered_count + (not suppressed),
        suppressed_count=stored.suppressed_count + suppressed,
    )
    seen = Seen(True, found.value, None, found.at, lambda: found.text, key=found.key)
    return Change(rule, after, seen, not suppressed, found.key)


def recovered(rule: Rule, stored: Stored, *, now: datetime) -> Change:
    """Return the change of a rule of occurrences whose source is there again."""
    after = replace(stored, revision=stored.revision + 1, problem="", detail="", since=now)
    return Change(rule, after)
