"""Reading alert rules: for the API, and for the evaluator."""

from collections.abc import Collection, Iterator, Sequence
from uuid import UUID

from django.db.models import QuerySet

from safety.alerting.observations import Rule, Stored
from safety.choices import CONDITION_KINDS
from safety.errors import AlertRuleNotFound
from safety.models.alert_rules import ROUND_ID, AlertEmail, AlertRound, AlertRule, AlertState
from tradingsite.common.bulk import ids_given

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
