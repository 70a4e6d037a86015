"""Reading for the order service, the API and the pages."""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import Error as DatabaseFault
from django.db.models import Count, Max, Q, QuerySet, Sum

from market.models import SYMBOL_PATTERN
from safety import counters, drawdown, killswitch, sentinel
from safety.choices import BreakerLevel, CounterName, GateCode, LimitScope, OutcomeKind, TradingState
from safety.drills import DRILL_SYMBOL
from safety.errors import AlertNotFound, ScopedLimitsNotFound
from safety.facts import NARROWABLE
from safety.gate import Limits
from safety.models import (
    EVERYTHING,
    SETTINGS_ID,
    AlertEvent,
    AuditLog,
    DayCounter,
    DrawdownBreaker,
    GateDecision,
    KillDrill,
    KillSweep,
    KillSwitch,
    KillSwitchEvent,
    ReconciliationBlock,
    SafetySettings,
    ScopedLimits,
)
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.decimals import decimal_string
from tradingsite.common.errors import FieldError, ValidationFailed
from tradingsite.common.ids import parse_uuid

# Which check enforces which limit; a limit without one would be a promise that nobody keeps.
CODE_OF: Mapping[str, GateCode] = {
    "paper_mode": GateCode.LIVE_TRADING_DISABLED,
    "daily_trade_limit": GateCode.DAILY_TRADES_EXCEEDED,
    "position_limit": GateCode.POSITION_EXCEEDS_LIMIT,
    "order_notional_limit": GateCode.ORDER_NOTIONAL_EXCEEDS_LIMIT,
    "duplicate_window_s": GateCode.DUPLICATE_ORDER,
    "trading_state": GateCode.TRADING_STATE_REDUCING,
    "open_wait_limit_s": GateCode.MARKET_CLOSED,
    "data_max_age_s": GateCode.DATA_STALE,
    "price_collar": GateCode.PRICE_OUT_OF_COLLAR,
    "exposure_limit": GateCode.EXPOSURE_EXCEEDS_LIMIT,
    "daily_loss_limit": GateCode.DAILY_LOSS_EXCEEDED,
    "drawdown_limit": GateCode.DRAWDOWN_EXCEEDED,
    "order_rate_limit": GateCode.ORDER_RATE_EXCEEDED,
}

BREAKER_AT: Mapping[str, BreakerLevel] = {
    "breaker_warn_at": BreakerLevel.WARN,
    "breaker_reduce_at": BreakerLevel.REDUCE,
    "breaker_kill_at": BreakerLevel.KILL,
}

SETTABLE = (*CODE_OF, *BREAKER_AT)
"""Every safety setting that an admin may change."""

RATE_WINDOW = timedelta(seconds=60)


def settings_get() -> SafetySettings:
    """Return the settings in force; before anybody changed one, the defaults."""
    return SafetySettings.objects.filter(pk=SETTINGS_ID).first() or SafetySettings()


def limits_current() -> Limits:
    """Return the limits in force as the gate takes them."""
    row = settings_get()
    return Limits(**{item.name: getattr(row, item.name) for item in fields(Limits)})


def limits_as_json(row: SafetySettings) -> dict[str, Any]:
    """Return every limit, money as decimal strings."""
    return {name: _plain(getattr(row, name)) for name in SETTABLE}


def scoped_limits() -> QuerySet[ScopedLimits]:
    """Return every strategy's and every instrument's own limits."""
    return ScopedLimits.objects.all()


def scope_key(scope: str, key: str) -> str:
    """Return the canonical key of a scope: a strategy's id, or an instrument's symbol.

    Raises:
        ValidationFailed: for another scope, or a key that is none.
    """
    if scope == LimitScope.STRATEGY:
        return str(parse_uuid(key, "key"))
    if scope != LimitScope.INSTRUMENT:
        words = ", ".join(LimitScope.values)
        raise ValidationFailed(errors=[FieldError("scope", "invalid_choice", f"Must be one of {words}.")])
    if not re.fullmatch(SYMBOL_PATTERN, key):
        raise ValidationFailed(errors=[FieldError("key", "invalid", "Must be a symbol.")])
    return key


def scoped_limits_get(scope: str, key: str) -> ScopedLimits:
    """Return the limits of one strategy or instrument.

    Raises:
        ValidationFailed: for a scope or a key that cannot be.
        ScopedLimitsNotFound: when it has none of its own.
    """
    found = ScopedLimits.objects.filter(scope=scope, key=scope_key(scope, key)).first()
    if found is None:
        raise ScopedLimitsNotFound(f"{scope} {key} has no limits of its own; the desk's hold.")
    return found


def scoped_limits_as_json(row: ScopedLimits) -> dict[str, Any]:
    """Return what the scope narrows, money and fractions as decimal strings; what it does not is not there."""
    return {name: _plain(value) for name in NARROWABLE if (value := getattr(row, name)) is not None}


def scoped_limits_of(*, strategy_id: UUID | None, symbol: str) -> list[ScopedLimits]:
    """Return what narrows the desk's limits for an order: those of its strategy, those of its instrument."""
    wanted = Q(scope=LimitScope.INSTRUMENT, key=symbol)
    if strategy_id is not None:
        wanted |= Q(scope=LimitScope.STRATEGY, key=str(strategy_id))
    return list(ScopedLimits.objects.filter(wanted))


def scopes_counted(*, strategy_id: UUID | None, symbol: str) -> list[str]:
    """Return the scopes in which an order counts: its account, its strategy there, its instrument there.

    All of them count whether they have a limit or not, so that one set at noon knows what the morning used.
    """
    scopes = [counters.WHOLE, f"{LimitScope.INSTRUMENT} {symbol}"]
    return scopes if strategy_id is None else [*scopes, f"{LimitScope.STRATEGY} {strategy_id}"]


def orders_last_minute(*, account_id: UUID, strategy_id: UUID | None, symbol: str) -> dict[str, int]:
    """Return how many orders of the account passed within the last sixty seconds, by the scopes they counted in."""
    passed = _sent(account_id=account_id, created_at__gt=utcnow() - RATE_WINDOW)
    found = passed.aggregate(
        whole=Count("id"),
        strategy=Count("id", filter=Q(strategy_id=strategy_id)),
        instrument=Count("id", filter=Q(symbol=symbol)),
    )
    return {
        counters.WHOLE: found["whole"],
        f"{LimitScope.STRATEGY} {strategy_id}": found["strategy"],
        f"{LimitScope.INSTRUMENT} {symbol}": found["instrument"],
    }


def _sent(**of: Any) -> QuerySet[GateDecision]:
    """Return the verdicts of orders that took a place among the counted ones: those that the desk refused took none."""
    rows: QuerySet[GateDecision] = GateDecision.objects.filter(allowed=True, preview=False, **of)
    return rows.exclude(outcome__kind=OutcomeKind.REFUSED)


def day_start() -> datetime:
    """Return the moment at which this trading day began, in UTC."""
    midnight = datetime.combine(counters.trading_day(), time(0), tzinfo=ZoneInfo(settings.DESK_TIME_ZONE))
    return midnight.astimezone(UTC)


def safety_status() -> dict[str, Any]:
    """Return how the desk is protected now: switch, mode, every limit and its use today."""
    row = settings_get()
    watched = list(breakers())
    everything = killswitch.state()
    counted = DayCounter.objects.filter(day=counters.trading_day(), name=CounterName.TRADES)
    # While a drill is under way, its accounts have counters of their own.
    drills = counted.filter(scope=f"{LimitScope.INSTRUMENT} {DRILL_SYMBOL}").values("account_id")
    used = (
        counted.filter(scope=counters.WHOLE)
        .exclude(account_id__in=drills)
        .aggregate(sum=Sum("value"), max=Max("value"))
    )
    today = day_start()
    decisions = GateDecision.objects.filter(created_at__gte=today, preview=False, drill=False)
    largest = decisions.filter(allowed=True, outcome=None).aggregate(
        notional=Max("notional"), position=Max("resulting_value"), exposure=Max("resulting_exposure"),
        data_age_s=Max("data_age_s"),
    )  # fmt: skip
    became, denied = _became(decisions)
    use: dict[str, Any] = {
        # The limit is per account, so the busiest account tells how much of it is left.
        "daily_trade_limit": used["max"] or 0,
        "position_limit": _money(largest["position"]),
        "order_notional_limit": _money(largest["notional"]),
        "exposure_limit": _money(largest["exposure"]),
        "data_max_age_s": largest["data_age_s"] or 0,
        "order_rate_limit": _busiest_minute(),
        "drawdown_limit": _money(max((each.fall for each in watched), default=None)),
        "daily_loss_limit": _money(max([Decimal(0), *(-each.day_pnl for each in watched if each.sampled_at >= today)])),
    }
    values = limits_as_json(row)
    return {
        **values,
        "trading_state": TradingState.HALTED.value if everything.active else row.trading_state,
        "trades_today": used["sum"] or 0,
        "orders_today": became,
        "kill_switch": _switch_as_json(everything),
        "scoped_limits": [
            {"scope": row.scope, "key": row.key, "limits": scoped_limits_as_json(row)} for row in scoped_limits()
        ],
        "breakers": [breaker_as_json(each) for each in watched],
        "killed_strategies": killed_strategies(),
        "reconciliation_blocks": [block_as_json(each) for each in reconciliation_blocks()],
        "kill_sweeps": [sweep_as_json(sweep) for sweep in sweeps_shown()],
        "last_kill_drill": _last_drill_as_json(),
        "limits": {
            name: {
                "limit": values[name],
                "used_today": use.get(name),
                "code": code.value,
                "denied_today": denied.get(code.value, 0),
            }
            for name, code in CODE_OF.items()
        },
        "trading_day": counters.trading_day().isoformat(),
        "limits_version": row.version,
    }


def _became(decisions: QuerySet[GateDecision]) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many orders became what, and how many the gate denied by which code."""
    became = dict.fromkeys(("passed", "denied", *OutcomeKind.values), 0)
    denied: dict[str, int] = {}
    found = decisions.values_list("allowed", "code", "outcome__kind").annotate(count=Count("id")).order_by()
    for allowed, code, kind, count in found:
        became[(kind or "passed") if allowed else "denied"] += count
        if not allowed:
            denied[code] = denied.get(code, 0) + count
    return became, denied


def _busiest_minute() -> int:
    """Return how many orders the busiest account has sent within the last sixty seconds."""
    passed = _sent(drill=False, created_at__gt=utcnow() - RATE_WINDOW)
    busiest = passed.values("account_id").annotate(count=Count("id")).order_by("-count").values_list("count", flat=True)
    return busiest.first() or 0


def killed_strategies() -> list[dict[str, Any]]:
    """Return the switches set for single strategies, from either half. One query, however many there are."""
    rows = {row.scope: row for row in KillSwitch.objects.filter(active=True).exclude(scope=EVERYTHING)}
    scopes = set(rows)
    # When the files cannot be read, `kill_switch` of the status already says so, and that everything is halted.
    with contextlib.suppress(OSError):
        scopes.update(sentinel.scopes())
    scopes.discard(EVERYTHING)
    return [
        {"strategy_id": scope, **_switch_as_json(killswitch.state_with(scope, rows.get(scope)))}
        for scope in sorted(scopes)
    ]


def kill_status(scope: str) -> dict[str, Any]:
    """Return the state of one scope alone, with the sweep of its newest kill."""
    # The switch first: what it says must not hang on whether its sweep can be read.
    status = {"scope": scope, **_switch_as_json(killswitch.state_of([scope]))}
    sweep = None
    with contextlib.suppress(DatabaseFault):
        sweep = KillSweep.objects.filter(scope=scope).order_by("-id").first()
    return {**status, "sweep": None if sweep is None else sweep_as_json(sweep)}


def kill_status_by_file(scope: str) -> dict[str, Any]:
    """Return what the file of one scope says: all that can be told while the database cannot be relied on."""
    return {"scope": scope, **_switch_as_json(killswitch.state_with(scope, None)), "sweep": None}


_SWEEPS_SHOWN = 20
_ALERT_TOLD = (
    "id", "alert_id", "name", "kind", "severity", "symbol", "value", "threshold", "message", "triggered_at",
)  # fmt: skip


def sweeps_shown() -> list[KillSweep]:
    """Return the newest sweeps that stand or are not confirmed; when there is none, the newest of all."""
    newest = KillSweep.objects.order_by("-id")
    going_on = Q(confirmed_at__isnull=True) | Q(resumed_at__isnull=True)
    return list(newest.filter(going_on)[:_SWEEPS_SHOWN]) or list(newest[:1])


_DRILL_FIGURES = (
    *("by", "processes", "kills", "orders", "answered_in_s", "from_call_p99_s", "last_order_p99_s"),
    *("last_order_max_s", "denied_in_s", "cancelled", "confirmed_in_s", "passed"),
)


def _last_drill_as_json() -> dict[str, Any] | None:
    drill = KillDrill.objects.order_by("-id").first()
    if drill is None:
        return None
    return {"at": rfc3339(drill.at), **{name: getattr(drill, name) for name in _DRILL_FIGURES}}


def sweep_as_json(sweep: KillSweep) -> dict[str, Any]:
    """Return how far a kill has come beyond the latch."""
    confirmed_in = None if sweep.confirmed_at is None else (sweep.confirmed_at - sweep.killed_at).total_seconds()
    return {
        "scope": sweep.scope,
        "flatten": sweep.flatten,
        "by": sweep.by,
        "killed_at": rfc3339(sweep.killed_at),
        "resumed_at": None if sweep.resumed_at is None else rfc3339(sweep.resumed_at),
        "latched_in_s": sweep.latched_in_s,
        "rounds": sweep.rounds,
        "clean_samples": sweep.clean_samples,
        "confirmed_at": None if sweep.confirmed_at is None else rfc3339(sweep.confirmed_at),
        "confirmed_in_s": confirmed_in,
        "remaining": {"orders": [], "positions": [], "unreachable": [], **sweep.remaining},
    }


def breaker_thresholds() -> dict[BreakerLevel, Decimal]:
    """Return the drawdown from which each level of the breaker holds."""
    row = settings_get()
    return {level: getattr(row, name) for name, level in BREAKER_AT.items()}


def breakers() -> QuerySet[DrawdownBreaker]:
    """Return what the drawdown breaker knows of every account that it watches."""
    return DrawdownBreaker.objects.all()


def breaker_of(account_id: UUID) -> DrawdownBreaker | None:
    """Return what the drawdown breaker knows of an account; None before its first sample."""
    return DrawdownBreaker.objects.filter(pk=account_id).first()


def just_sampled(row: DrawdownBreaker, wall: datetime) -> bool:
    """Say whether another look at the account would come too soon to count."""
    return wall - row.sampled_at < timedelta(seconds=drawdown.APART_S)


def breaker_as_json(row: DrawdownBreaker) -> dict[str, Any]:
    """Return an account's breaker as people see it; fractions and money as decimal strings."""
    return {
        "account_id": str(row.account_id),
        "level": row.level,
        "since": rfc3339(row.since),
        "drawdown": decimal_string(row.fall),
        "equity": decimal_string(row.equity),
        "peak": decimal_string(row.peak),
        "sampled_at": rfc3339(row.sampled_at),
    }


def reconciliation_blocks(*, account_id: UUID | None = None) -> QuerySet[ReconciliationBlock]:
    """Return why accounts, or one account, may not trade before they are reconciled, the oldest reason first."""
    rows = ReconciliationBlock.objects.all()
    return rows if account_id is None else rows.filter(account_id=account_id)


def block_as_json(row: ReconciliationBlock) -> dict[str, Any]:
    """Return one reason for which an account may not trade, as people see it."""
    return {
        "account_id": str(row.account_id),
        "code": row.code,
        "detail": row.detail,
        "since": rfc3339(row.since),
        "first_detail": row.first_detail,
        "times": row.times,
        "last_at": rfc3339(row.last_at),
    }


def kill_history() -> QuerySet[KillSwitchEvent]:
    """Return what happened to the switches, newest first."""
    return KillSwitchEvent.objects.order_by("-id")


def decisions() -> QuerySet[GateDecision]:
    """Return the gate's verdicts with what became of each order, newest first."""
    return GateDecision.objects.select_related("outcome").order_by("-id")


def alert_history() -> QuerySet[AlertEvent]:
    """Return the alerts that were raised, newest first."""
    return AlertEvent.objects.select_related("email__user").order_by("-triggered_at", "-id")


def alert_get(alert_id: UUID) -> AlertEvent:
    """Return one raised alert.

    Raises:
        AlertNotFound: when there is none of this id.
    """
    found = AlertEvent.objects.select_related("email__user").filter(pk=alert_id).first()
    if found is None:
        raise AlertNotFound(f"No alert has the id {alert_id}.")
    return found


def alert_as_json(event: AlertEvent) -> dict[str, Any]:
    """Return an alert as the socket tells it: fields of the contract at the top level."""
    return alert_values_as_json({name: getattr(event, name) for name in _ALERT_TOLD})


def alert_values_as_json(event: Mapping[str, Any]) -> dict[str, Any]:
    """As `alert_as_json`, of the values of its fields."""
    return {
        "id": str(event["id"]),
        "alert_id": str(event["alert_id"]) if event["alert_id"] else None,
        "name": event["name"],
        "kind": event["kind"],
        "severity": event["severity"],
        "symbol": event["symbol"],
        "value": None if event["value"] is None else decimal_string(event["value"]),
        "threshold": None if event["threshold"] is None else decimal_string(event["threshold"]),
        "message": event["message"],
        "triggered_at": rfc3339(event["triggered_at"]),
    }


def audit_rows() -> QuerySet[AuditLog]:
    """Return the audit log, newest first."""
    return AuditLog.objects.order_by("-id")


def _switch_as_json(state: killswitch.KillState) -> dict[str, Any]:
    return {
        "active": state.active,
        "reason": state.reason or (state.detail if state.active else ""),
        "since": state.since_text,
        "by": state.by,
        "sources": list(state.sources),
    }


def _plain(value: Any) -> Any:
    return decimal_string(value) if isinstance(value, Decimal) else value


def _money(number: Any) -> str:
    return "0" if number is None else decimal_string(number)
