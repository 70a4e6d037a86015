"""Reading alert rules: for the API, and for the evaluator."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet

from safety.alerting.observations import Rule, Stored
from safety.choices import CONDITION_KINDS, AlertChannel, AlertKind
from safety.errors import AlertRuleNotFound
from safety.models.alert_rules import ROUND_ID, AlertEmail, AlertRound, AlertRule, AlertState, state_of
from safety.webhooks import ALERT_TRIGGERED
from tradingsite.common.bulk import ids_given
from tradingsite.common.webhooks.announcing import listeners

_RULE = (
    "id", "version", "kind", "name", "symbol", "threshold", "config", "severity", "cooldown_s", "snoozed_until",
    "channels", "created_by_id", "watched_since",
)  # fmt: skip
_STATE = (
    "revision", "met", "problem", "detail", "value", "observed_at", "since", "last_triggered_at", "triggered_count",
    "suppressed_count",
)  # fmt: skip
NEVER_SEEN = Stored()


def rules_listed(*, deleted: bool = False) -> QuerySet[AlertRule]:
    """Return the rules with their states and owners, the newest first; those deleted instead, where asked."""
    rows: QuerySet[AlertRule] = AlertRule.objects.dead() if deleted else AlertRule.objects.alive()
    return rows.select_related("state", "created_by")


def rule_get(rule_id: UUID) -> AlertRule:
    """Return a rule with its state.

    Raises:
        AlertRuleNotFound: when there is none of this id, or it is deleted.
    """
    found = rules_listed().filter(pk=rule_id).first()
    if found is None:
        raise AlertRuleNotFound(f"There is no alert rule {rule_id}.")
    return found


def standings(kinds: Collection[str], *, symbols: Collection[str] | None = None) -> list[tuple[UUID, int, Stored]]:
    """Return id and version of each rule of `kinds` that is looked at, with what a look is compared with. One query.

    The rules themselves are read by version and kept; of the state there is only `revision`, `met` and `problem`:
    enough to see that nothing has changed, which is so of most rules at most looks.

    Args:
        symbols: only those about one of these.
    """
    rows = AlertRule.objects.alive().filter(enabled=True, kind__in=kinds)
    if symbols is not None:
        rows = rows.filter(symbol__in=symbols)
    columns = ("id", "version", *(f"state__{name}" for name in ("revision", "met", "problem")))
    return [
        (rule_id, version, NEVER_SEEN if revision is None else Stored(revision, met, problem))
        for rule_id, version, revision, met, problem in rows.order_by().values_list(*columns)
    ]


def rules_read(rule_ids: Sequence[UUID]) -> Iterator[Rule]:
    """Yield these rules as the evaluator knows them, those that are still there."""
    for start in range(0, len(rule_ids), 1000):
        rows = AlertRule.objects.filter(pk__in=rule_ids[start : start + 1000])
        for row in rows.values_list(*_RULE):
            yield Rule(*row)


def anything_watched() -> bool:
    """Say whether there is any rule to look at."""
    return bool(AlertRule.objects.alive().filter(enabled=True).exists())


def is_watched(symbols: Collection[str]) -> bool:
    """Say whether any rule of a condition is about one of `symbols`."""
    rows = AlertRule.objects.alive().filter(enabled=True, kind__in=CONDITION_KINDS, symbol__in=symbols)
    return bool(rows.exists())


def states_by_rule(rule_ids: Collection[UUID]) -> dict[UUID, Stored]:
    """Return what the last look at each left, for those that have been looked at."""
    rows = AlertState.objects.filter(rule_id__in=ids_given(rule_ids)).values_list("rule_id", *_STATE)
    return {row[0]: Stored(*row[1:]) for row in rows}


def round_last() -> AlertRound:
    """Return the evaluator's row; before the first round one that is empty."""
    return AlertRound.objects.filter(pk=ROUND_ID).first() or AlertRound()


def emails_listed() -> QuerySet[AlertEmail]:
    """Return the e-mails of alerts with those whom they are for, the newest first."""
    return AlertEmail.objects.select_related("user")


def drift_told_by_rule(*, goal_id: UUID, threshold: Decimal, since: datetime | None, now: datetime) -> bool:
    """Say whether a rule tells everybody that a goal has just drifted over its own threshold, so that the goal need not.

    That is an enabled rule about the goal in total at the same threshold, which tells in the app and, where a webhook
    listens, by webhook. It has told it since the goal was last found within, or does so at its next look: it is neither
    snoozed nor cooling down, it can be evaluated, and it has not been met all the while.

    Args:
        since: when the goal was looked at before; None when it never was.
    """
    rules = AlertRule.objects.alive().filter(
        enabled=True, kind=AlertKind.DRIFT, symbol="", threshold=threshold, config__goal_id=str(goal_id)
    )
    rows = list(rules.select_related("state"))
    if not rows:
        return False
    needed = {AlertChannel.IN_APP} | ({AlertChannel.WEBHOOK} if listeners({ALERT_TRIGGERED.slug}) else set())
    return any(needed <= set(rule.channels) and _tells(rule, state_of(rule), since, now) for rule in rows)


def _tells(rule: AlertRule, state: AlertState | None, since: datetime | None, now: datetime) -> bool:
    last = None if state is None else state.last_triggered_at
    if last is not None and since is not None and last >= since:
        return True
    if state is not None and (state.problem or state.met):
        return False
    snoozed = rule.snoozed_until is not None and now < rule.snoozed_until
    return not snoozed and (last is None or now >= last + timedelta(seconds=rule.cooldown_s))
