"""Query parameters of the histories."""

import django_filters

from safety.choices import AlertKind, GateCode, KillAction, OutcomeKind, Severity
from safety.models import AlertEvent, AuditLog, GateDecision, KillSwitchEvent
from tradingsite.common.api.filters import CreatedFilterSet, MomentFilter, PairFilter, StrictFilterSet


class DecisionFilter(CreatedFilterSet):
    allowed = django_filters.TypedChoiceFilter(
        choices=[("true", "true"), ("false", "false")], coerce=lambda text: text == "true"
    )
    preview = django_filters.TypedChoiceFilter(
        choices=[("true", "true"), ("false", "false")], coerce=lambda text: text == "true"
    )
    drill = django_filters.TypedChoiceFilter(
        choices=[("true", "true"), ("false", "false")], coerce=lambda text: text == "true"
    )
    outcome = django_filters.ChoiceFilter(field_name="outcome__kind", choices=OutcomeKind.choices)
    code = django_filters.ChoiceFilter(choices=GateCode.choices)
    symbol = django_filters.CharFilter(max_length=32)
    account_id = django_filters.UUIDFilter()
    strategy_id = django_filters.UUIDFilter()
    execution_id = django_filters.UUIDFilter()
    client_order_id = django_filters.CharFilter(max_length=128)

    class Meta:
        model = GateDecision
        fields: tuple[str, ...] = ()


class AlertFilter(StrictFilterSet):
    kind = django_filters.ChoiceFilter(choices=AlertKind.choices)
    severity = django_filters.ChoiceFilter(choices=Severity.choices)
    symbol = django_filters.CharFilter(max_length=32)
    alert_id = django_filters.UUIDFilter()
    acknowledged = django_filters.TypedChoiceFilter(
        field_name="acknowledged_at",
        lookup_expr="isnull",
        choices=[("true", "true"), ("false", "false")],
        coerce=lambda text: text != "true",
    )
    created_after = MomentFilter(field_name="triggered_at", lookup_expr="gte")
    created_before = MomentFilter(field_name="triggered_at", lookup_expr="lt")
    date_range = PairFilter(field_name="triggered_at")

    class Meta:
        model = AlertEvent
        fields: tuple[str, ...] = ()


class KillEventFilter(StrictFilterSet):
    scope = django_filters.CharFilter(max_length=36)
    action = django_filters.ChoiceFilter(choices=KillAction.choices)

    class Meta:
        model = KillSwitchEvent
        fields: tuple[str, ...] = ()


class AuditFilter(StrictFilterSet):
    action = django_filters.CharFilter(max_length=80)
    actor = django_filters.CharFilter(field_name="actor_name", max_length=150)
    target_type = django_filters.CharFilter(max_length=80)
    target_id = django_filters.CharFilter(max_length=64)
    request_id = django_filters.CharFilter(max_length=64)
    created_after = MomentFilter(field_name="at", lookup_expr="gte")
    created_before = MomentFilter(field_name="at", lookup_expr="lt")
    date_range = PairFilter(field_name="at")

    class Meta:
        model = AuditLog
        fields: tuple[str, ...] = ()
