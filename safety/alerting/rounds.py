"""A round: every rule is looked at once, and what that changes is written.

Reading, looking and judging touch no lock and few queries, whatever the number of rules. Only rules that change are
written: locked, judged again by the state that they have by then, and left alone where somebody was faster. So any
number of evaluators may work at once, and one that dies leaves nothing half done: state and alert are one transaction.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import DataError, transaction
from django.db.models import Q

from safety.alerting import selectors
from safety.alerting.contracts import Facts, fact_sources, occurrence_sources
from safety.alerting.market_view import series_views
from safety.alerting.measures import Needs, Watch, World, observe, watch_of
from safety.alerting.observations import (
    Change,
    Crossing,
    Gap,
    Occurrence,
    Rule,
    Seen,
    Stored,
    judge,
    judge_occurrence,
    nothing_new,
    recovered,
)
from safety.alerting.telling import raise_all
from safety.choices import CONDITION_KINDS, OCCURRENCE_KINDS
from safety.models.alert_rules import ROUND_ID, AlertCursor, AlertRound, AlertRule, AlertSighting, AlertState
from tradingsite.common.bulk import ids_given, insert_all
from tradingsite.common.clock import CLOCKS_APART, utcnow
from tradingsite.common.contracts.registry import UnknownName
from tradingsite.common.errors import AppError

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
# Held under one transaction's locks; more would keep those waiting who look at a few of these rules.
BATCH = 2000
# Rows are stamped before they are committed: what is stamped earlier than the last look may have been unseen by it.
OVERLAP = timedelta(minutes=5)
CURSOR_EVERY = timedelta(minutes=1)
# After a longer stop of the desk it is not told what is old news.
OLDEST = timedelta(days=2)
READY_MOST = 100_000

Judging = Callable[[Stored], Change | None]
_STATE_FIELDS = [
    "revision", "met", "problem", "detail", "value", "observed_at", "since", "last_triggered_at", "triggered_count",
    "suppressed_count",
]  # fmt: skip


class Ready(NamedTuple):
    """A rule made ready for looking. A version of a rule is what it is for ever."""

    rule: Rule
    watch: Watch


_ready: dict[UUID, Ready] = {}


@dataclass(frozen=True, slots=True)
class Look:
    """A look at a rule that would change it.

    Attributes:
        read: what the look was compared with, read without a lock.
        judged: what follows from the look by the state that the rule has when it is locked.
        occurrence: what the look was at, where that is something that happened.
    """

    rule: Rule
    read: Stored
    judged: Judging
    occurrence: str = ""


@dataclass(frozen=True)
class RoundResult:
    """What a round did: rules looked at, states changed, alerts raised, rules that could not be evaluated."""

    rules: int = 0
    changed: int = 0
    triggered: int = 0
    unknown: int = 0

    def __add__(self, other: "RoundResult") -> "RoundResult":
        return RoundResult(
            self.rules + other.rules,
            self.changed + other.changed,
            self.triggered + other.triggered,
            self.unknown + other.unknown,
        )


def evaluate_if_due(*, every_s: float) -> RoundResult | None:
    """Do a round unless another process does one now, or did one less than `every_s` seconds ago."""
    if not selectors.anything_watched():
        # A desk without rules is not written to every two seconds.
        return None
    now = utcnow()
    if not _round_taken(now, every_s):
        return None
    began = time.perf_counter()
    try:
        result = evaluate(now=now)
    except BaseException:
        AlertRound.objects.filter(pk=ROUND_ID, began_at=now).update(lease_until=None)
        raise
    AlertRound.objects.filter(pk=ROUND_ID, began_at=now).update(
        lease_until=None,
        finished_at=utcnow(),
        duration_ms=round((time.perf_counter() - began) * 1000),
        rules=result.rules,
        changed=result.changed,
        triggered=result.triggered,
        unknown=result.unknown,
    )
    return result


def _round_taken(now: datetime, every_s: float) -> bool:
    free = Q(lease_until=None) | Q(lease_until__lte=now) | Q(lease_until__gt=now + LEASE + CLOCKS_APART)
    rested = Q(began_at=None) | Q(began_at__lte=now - timedelta(seconds=every_s)) | Q(began_at__gt=now + CLOCKS_APART)
    mine = AlertRound.objects.filter(free, rested, pk=ROUND_ID)
    if not mine.update(lease_until=now + LEASE, began_at=now):
        if AlertRound.objects.filter(pk=ROUND_ID).exists():
            return False
        AlertRound.objects.bulk_create([AlertRound()], ignore_conflicts=True)
        return bool(mine.update(lease_until=now + LEASE, began_at=now))
    return True


def evaluate(*, now: datetime | None = None, symbols: Collection[str] | None = None) -> RoundResult:
    """Look at every rule, or at those of conditions about `symbols`, whoever else does so at the same time."""
    moment = now or utcnow()
    result = _conditions(moment, symbols)
    return result if symbols is not None else result + _occurrences(moment)


def _conditions(now: datetime, symbols: Collection[str] | None) -> RoundResult:
    rules = _ready_rules(CONDITION_KINDS, symbols)
    world = world_at(now, (each.watch.needs for each, _ in rules))
    looks: list[Look] = []
    unknown = 0
    for (rule, watch), stored in rules:
        found = observe(rule, watch, world)
        unknown += isinstance(found, Gap)
        if not nothing_new(stored, found):
            looks.append(Look(rule, stored, _judging(rule, found, watch.crossing, now)))
    changed, triggered = apply(looks, now=now)
    return RoundResult(len(rules), changed, triggered, unknown)


def _judging(rule: Rule, found: Seen | Gap, crossing: Crossing | None, now: datetime) -> Judging:
    return lambda stored: judge(rule, stored, found, crossing=crossing, now=now)


def _ready_rules(kinds: Collection[str], symbols: Collection[str] | None = None) -> list[tuple[Ready, Stored]]:
    """Return the rules of `kinds` made ready, each with what a look at it is compared with."""
    standings = selectors.standings(kinds, symbols=symbols)
    # Of this round's own: rounds of several threads share what is kept between rounds, and one may empty it.
    mine: dict[UUID, Ready] = {}
    unread = []
    for rule_id, version, _ in standings:
        kept = _ready.get(rule_id)
        if kept is not None and kept.rule.version == version:
            mine[rule_id] = kept
        else:
            unread.append(rule_id)
    if len(_ready) + len(unread) > READY_MOST:
        _ready.clear()
    for rule in selectors.rules_read(unread):
        mine[rule.id] = _ready[rule.id] = Ready(rule, watch_of(rule))
    # One that was removed between the two readings is not there.
    return [(mine[rule_id], stored) for rule_id, _, stored in standings if rule_id in mine]


def world_at(now: datetime, needs: Iterable[Needs]) -> World:
    """Gather what rules need: two queries for all series, and what each source of figures takes."""
    wanted = set(needs)
    series = {each.series for each in wanted if each.series is not None}
    subjects: dict[str, set[str]] = {}
    for each in wanted:
        if each.facts is not None:
            subjects.setdefault(each.facts[0], set()).add(each.facts[1])
    facts: dict[tuple[str, str], Facts | Gap] = {}
    for slug, asked in subjects.items():
        for subject, found in _facts(slug, asked, now).items():
            facts[(slug, subject)] = found
    return World(now, series_views(series, wall=now), facts)


def _facts(slug: str, subjects: Collection[str], now: datetime) -> dict[str, Facts | Gap]:
    try:
        source = fact_sources.get(slug)
    except UnknownName:
        return dict.fromkeys(subjects, Gap("NO_SOURCE", f"No installed app tells figures of the kind {slug!r}."))
    try:
        found = source.facts(subjects, now=now)
    except AppError as error:
        return dict.fromkeys(subjects, Gap(error.code, error.detail))
    missing = Gap("NOT_FOUND", f"There is no {slug} of this id.")
    return {subject: found.get(subject, missing) for subject in subjects}


def apply(looks: Sequence[Look], *, now: datetime) -> tuple[int, int]:
    """Write what these looks change by now; return how many rules that are and how many alerts they raised."""
    changed = triggered = 0
    # One order of locks for all evaluators, so that two of them cannot wait for each other.
    ordered = sorted(looks, key=lambda look: look.rule.id)
    for start in range(0, len(ordered), BATCH):
        done = _written(ordered[start : start + BATCH], now)
        changed, triggered = changed + done[0], triggered + done[1]
    return changed, triggered


def _written(batch: Sequence[Look], now: datetime) -> tuple[int, int]:
    """Write the changes of `batch` in one transaction. What the database cannot hold is one rule's fault: it is left out,
    and the others are written without it."""
    try:
        with transaction.atomic():
            changes = _changes(batch)
            raised = raise_all(changes, now=now)
            insert_all(AlertState, [_row(change) for change in changes], replacing=True)
            AlertSighting.objects.bulk_create(
                [AlertSighting(rule_id=one.rule.id, key=one.occurrence, at=now) for one in changes if one.occurrence]
            )
        return len(changes), raised
    except DataError:
        if len(batch) == 1:
            logger.exception("what a look at alert rule %s has found cannot be written", batch[0].rule.id)
            return 0, 0
    half = len(batch) // 2
    first, second = _written(batch[:half], now), _written(batch[half:], now)
    return first[0] + second[0], first[1] + second[1]


def _changes(batch: Sequence[Look]) -> list[Change]:
    """Lock the rules of `batch` and judge again by their states as they are now: somebody may have been faster."""
    versions, states, seen = _locked(batch)
    found = [
        look.judged(states.get(look.rule.id, selectors.NEVER_SEEN))
        for look in batch
        if versions.get(look.rule.id) == look.rule.version and (look.rule.id, look.occurrence) not in seen
    ]
    return [change for change in found if change is not None]


def _locked(
    batch: Sequence[Look],
) -> tuple[Mapping[UUID, int], Mapping[UUID, Stored], Collection[tuple[UUID, str]]]:
    """Lock the rules of `batch`; return their versions, their states, and which occurrences they have seen."""
    ids = [look.rule.id for look in batch]
    rows = (
        AlertRule.objects.alive()
        .select_for_update(no_key=True, of=("self",))
        .filter(pk__in=ids_given(ids), enabled=True)
    )
    versions = dict(rows.order_by("pk").values_list("pk", "version"))
    keys = {look.occurrence for look in batch if look.occurrence}
    seen = AlertSighting.objects.filter(rule_id__in=ids, key__in=keys).values_list("rule_id", "key") if keys else ()
    return versions, selectors.states_by_rule(ids), set(seen)


def _row(change: Change) -> dict[str, Any]:
    return {"rule_id": change.rule.id, **{name: getattr(change.after, name) for name in _STATE_FIELDS}}


# ------------------------------------------------------------------------------------------------------- occurrences


def _occurrences(now: datetime) -> RoundResult:
    """Look at what has happened since the last round, for the rules that listen."""
    listening: dict[str, list[tuple[Rule, Stored]]] = {kind.value: [] for kind in OCCURRENCE_KINDS}
    for ready, stored in _ready_rules(OCCURRENCE_KINDS):
        listening[ready.rule.kind].append((ready.rule, stored))
    cursors = dict(AlertCursor.objects.values_list("kind", "until"))
    result = RoundResult()
    for kind, rules in listening.items():
        if kind not in occurrence_sources:
            result += _nobody_tells(kind, rules, now)
            continue
        if not rules:
            # Nothing is read: a later rule knows of nothing earlier than itself.
            continue
        looked_until = cursors.get(kind)
        since = max((looked_until or now) - OVERLAP, now - OLDEST)
        result += _back_again(rules, now)
        found = occurrence_sources.get(kind).between(since, now)
        result += _matched(rules, sorted(found, key=lambda one: (one.at, one.key)), now)
        # Looking back further costs little; a write at every round would cost more.
        if looked_until is None or now - looked_until >= CURSOR_EVERY:
            AlertCursor.objects.update_or_create(kind=kind, defaults={"until": now})
    return result


def _nobody_tells(kind: str, rules: Sequence[tuple[Rule, Stored]], now: datetime) -> RoundResult:
    gap = Gap("NO_SOURCE", f"No installed app tells of the kind {kind!r}.")
    looks = [Look(rule, stored, _judging(rule, gap, None, now)) for rule, stored in rules if stored.problem != gap.code]
    changed, _ = apply(looks, now=now)
    return RoundResult(len(rules), changed, 0, len(rules))


def _back_again(rules: Sequence[tuple[Rule, Stored]], now: datetime) -> RoundResult:
    looks = [Look(rule, stored, partial(recovered, rule, now=now)) for rule, stored in rules if stored.problem]
    changed, _ = apply(looks, now=now)
    return RoundResult(len(rules), changed)


def _matched(rules: Sequence[tuple[Rule, Stored]], found: Sequence[Occurrence], now: datetime) -> RoundResult:
    if not found:
        return RoundResult()
    result = RoundResult()
    ids, keys = [rule.id for rule, _ in rules], [one.key for one in found]
    seen = set(AlertSighting.objects.filter(rule_id__in=ids, key__in=keys).values_list("rule_id", "key"))
    for occurrence in found:
        # One after the other: each is judged by what the one before it has left.
        looks = [
            Look(rule, stored, _judging_occurrence(rule, occurrence, now), occurrence.key)
            for rule, stored in rules
            if (rule.id, occurrence.key) not in seen and wants(rule, occurrence)
        ]
        changed, triggered = apply(looks, now=now)
        result += RoundResult(0, changed, triggered)
    return result


def _judging_occurrence(rule: Rule, occurrence: Occurrence, now: datetime) -> Judging:
    return lambda stored: judge_occurrence(rule, stored, occurrence, now=now)


def wants(rule: Rule, occurrence: Occurrence) -> bool:
    """Say whether a rule asks for an occurrence. It knows of nothing from before it was made, changed or enabled."""
    if occurrence.at < rule.watched_since or (rule.symbol and rule.symbol != occurrence.symbol):
        return False
    config, facts = rule.config, occurrence.facts
    for name in ("workflow_id", "strategy_id", "scope"):
        if config.get(name) is not None and facts.get(name) != config[name]:
            return False
    if "actions" in config:
        return facts["action"] in config["actions"] and Decimal(facts["confidence"]) >= Decimal(
            config["min_confidence"]
        )
    return "on" not in config or facts["on"] in config["on"]
