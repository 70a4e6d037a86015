"""Reading for the order service, the API and the pages."""

import contextlib
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Count, Max, QuerySet, Sum

from safety import counters, killswitch, sentinel
from safety.choices import CounterName, GateCode, TradingState
from safety.errors import AlertNotFound
from safety.gate import Limits
from safety.models import (
    EVERYTHING,
    SETTINGS_ID,
    AlertEvent,
    AuditLog,
    DayCounter,
    GateDecision,
    KillSwitch,
    KillSwitchEvent,
    ReconciliationBlock,
    SafetySettings,
)
from tradingsite.common.clock import rfc3339
from tradingsite.common.decimals import decimal_string

# Which check enforces which limit; a limit without one would be a promise that nobody keeps.
CODE_OF: Mapping[str, GateCode] = {
    "paper_mode": GateCode.LIVE_TRADING_DISABLED,
    "daily_trade_limit": GateCode.DAILY_TRADES_EXCEEDED,
    "position_limit": GateCode.POSITION_EXCEEDS_LIMIT,
    "order_notional_limit": GateCode.ORDER_NOTIONAL_EXCEEDS_LIMIT,
    "duplicate_window_s": GateCode.DUPLICATE_ORDER,
    "trading_state": GateCode.TRADING_STATE_REDUCING,
}


def settings_get() -> SafetySettings:
    """Return the settings in force; before anybody changed one, the defaults."""
    return SafetySettings.objects.filter(pk=SETTINGS_ID).first() or SafetySettings()


def limits_current() -> Limits:
    """Return the limits in force as the gate takes them."""
    row = settings_get()
    return Limits(**{item.name: getattr(row, item.name) for item in fields(Limits)})


def limits_as_json(row: SafetySettings) -> dict[str, Any]:
    """Return every limit, money as decimal strings."""
    return {
        "paper_mode": row.paper_mode,
        "daily_trade_limit": row.daily_trade_limit,
        "position_limit": decimal_string(row.position_limit),
        "order_notional_limit": decimal_string(row.order_notional_limit),
        "duplicate_window_s": row.duplicate_window_s,
        "trading_state": row.trading_state,
    }


def trades_today(account_id: UUID) -> int:
    """Return how many orders of the account passed the gate this trading day."""
    return counters.used(account_id=account_id, name=CounterName.TRADES)


def day_start() -> datetime:
    """Return the moment at which this trading day began, in UTC."""
    midnight = datetime.combine(counters.trading_day(), time(0), tzinfo=ZoneInfo(settings.DESK_TIME_ZONE))
    return midnight.astimezone(UTC)


def safety_status() -> dict[str, Any]:
    """Return how the desk is protected now: switch, mode, every limit and its use today."""
    row = settings_get()
    everything = killswitch.state()
    used = DayCounter.objects.filter(day=counters.trading_day(), name=CounterName.TRADES).aggregate(
        sum=Sum("value"), max=Max("value")
    )
    decisions = GateDecision.objects.filter(created_at__gte=day_start(), preview=False)
    largest = decisions.filter(allowed=True).aggregate(notional=Max("notional"), position=Max("resulting_value"))
    denied = dict(decisions.filter(allowed=False).values_list("code").annotate(count=Count("id")).order_by())
    use: dict[str, Any] = {
        # The limit is per account, so the busiest account tells how much of it is left.
        "daily_trade_limit": used["max"] or 0,
        "position_limit": _money(largest["position"]),
        "order_notional_limit": _money(largest["notional"]),
    }
    values = limits_as_json(row)
    return {
        **values,
        "trading_state": TradingState.HALTED.value if everything.active else row.trading_state,
        "trades_today": used["sum"] or 0,
        "kill_switch": _switch_as_json(everything),
        "killed_strategies": killed_strategies(),
        "reconciliation_blocks": _blocks_as_json(),
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
    """Return the state of one scope alone."""
    return {"scope": scope, **_switch_as_json(killswitch.state_of([scope]))}


def reconciliation_blocks(*, account_id: UUID | None = None) -> QuerySet[ReconciliationBlock]:
    """Return why accounts, or one account, may not trade before they are reconciled, the oldest reason first."""
    rows = ReconciliationBlock.objects.all()
    return rows if account_id is None else rows.filter(account_id=account_id)


def _blocks_as_json() -> list[dict[str, Any]]:
    return [
        {"account_id": str(row.account_id), "code": row.code, "detail": row.detail, "since": rfc3339(row.since)}
        for row in reconciliation_blocks()
    ]


def kill_history() -> QuerySet[KillSwitchEvent]:
    """Return what happened to the switches, newest first."""
    return KillSwitchEvent.objects.order_by("-id")


def decisions() -> QuerySet[GateDecision]:
    """Return the gate's verdicts, newest first."""
    return GateDecision.objects.order_by("-id")


def alert_history() -> QuerySet[AlertEvent]:
    """Return the alerts that were raised, newest first."""
    return AlertEvent.objects.order_by("-triggered_at", "-id")


def alert_get(alert_id: UUID) -> AlertEvent:
    """Return one raised alert.

    Raises:
        AlertNotFound: when there is none of this id.
    """
    found = AlertEvent.objects.filter(pk=alert_id).first()
    if found is None:
        raise AlertNotFound(f"No alert has the id {alert_id}.")
    return found


def alert_as_json(event: AlertEvent) -> dict[str, Any]:
    """Return an alert as the socket tells it: fields of the contract at the top level."""
    return {
        "id": str(event.pk),
        "alert_id": str(event.alert_id) if event.alert_id else None,
        "name": event.name,
        "kind": event.kind,
        "severity": event.severity,
        "symbol": event.symbol,
        "value": None if event.value is None else decimal_string(event.value),
        "threshold": None if event.threshold is None else decimal_string(event.threshold),
        "message": event.message,
        "triggered_at": rfc3339(event.triggered_at),
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


def _money(number: Any) -> str:
    return "0" if number is None else decimal_string(number)
