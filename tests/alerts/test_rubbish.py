"""Rules made of rubbish: each is made or refused by the field that is wrong, and no look at one holds up the others."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from rest_framework.test import APIClient

from safety.alerting import rounds
from safety.choices import AlertKind, Severity
from safety.models import AlertEvent, AlertRule
from tests.alerts.conftest import Watchman
from tests.alerts.test_api import BODY

pytestmark = pytest.mark.django_db
Api = Callable[..., APIClient]


class Rollback(Exception):
    """Ends an example without a trace."""


_texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["", " ", "ACME", "price > 1", "NaN", "-Infinity", "1e400", "1e-400", "9" * 400, "١٢", "a\x00b", "🙂"]
    ),
)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**60), 10**60),
    st.floats(allow_nan=False, allow_infinity=False),
    _texts,
    st.sampled_from(
        list(AlertKind.values) + list(Severity.values) + ["in_app", "email", "1d", "both", "sma", "rsi", "above"]
    ),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_texts, inner, max_size=4)),
    max_leaves=12,
)
_configs = st.one_of(
    _values,
    st.dictionaries(
        st.sampled_from(
            [
                "source",
                "timeframe",
                "adjustment",
                "max_age_s",
                "direction",
                "bars",
                "indicator",
                "params",
                "output",
                "operator",
                "against",
                "account_id",
                "goal_id",
                "unit",
                "expression",
                "actions",
                "min_confidence",
                "on",
            ]
        ),
        _values,
        max_size=6,
    ),
)
_bodies = st.one_of(
    _values,
    st.fixed_dictionaries(
        {},
        optional={
            "name": _values,
            "kind": st.one_of(st.sampled_from(list(AlertKind.values)), _values),
            "symbol": st.one_of(st.just("ACME"), _values),
            "threshold": st.one_of(st.decimals(allow_nan=True, allow_infinity=True).map(str), _values),
            "config": _configs,
            "severity": _values,
            "cooldown_s": _values,
            "channels": _values,
            "enabled": _values,
        },
    ).map(lambda said: {**BODY, **said}),
)


@given(body=_bodies)
@examples(
    max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
def test_a_rule_of_rubbish_is_made_or_refused_and_can_be_looked_at(body: Any, api: Api, watch: Watchman) -> None:
    with pytest.raises(Rollback), transaction.atomic():
        answer = api("trader").post("/api/alerts", body, format="json")
        assert answer.status_code in (201, 400), answer.content
        if answer.status_code == 400:
            assert answer.json()["code"]
            assert all(each["code"] and each["detail"] for each in answer.json().get("errors", []))
        else:
            watch.look()
            assert api("viewer").get(f"/api/alerts/{answer.json()['id']}").status_code == 200
        raise Rollback


def test_nesting_without_end_is_a_400(api: Api, watch: Watchman) -> None:
    client = api("trader")
    for text in ('{"config": ' + "[" * 100_000 + "]" * 100_000 + "}", '{"a":' * 100_000 + "1" + "}" * 100_000):
        assert client.post("/api/alerts", text, content_type="application/json").status_code == 400


@pytest.mark.parametrize("close", [1e17, 1e19, 1e300])
def test_a_price_beyond_what_is_kept_is_a_gap_of_its_rules_alone(watch: Watchman, close: float) -> None:
    for kind, fields in (
        ("price_above", {}),
        ("price_below", {}),
        ("price_crosses", {}),
        ("percent_move", {"threshold": "1"}),
        ("expression", {"threshold": None, "config": {"expression": "price > 1 and close > 1"}}),
    ):
        watch.rule(kind, **fields)
    watch.prices.series("BETA", [(101, 101, 101, 101)] * 3, clock="live")
    other = watch.rule(symbol="BETA")
    watch.look(95, close)
    assert len(watch.raised(other)) == 1
    assert watch.look().changed == 0, "and no round tries again in vain"


@pytest.mark.postgres
def test_what_the_database_cannot_hold_of_one_rule_keeps_no_other_from_being_told(
    watch: Watchman, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [watch.rule(name=f"rule {number}") for number in range(9)]
    broken = rules[4]
    real = rounds._row

    def too_large(change: Any) -> dict[str, Any]:
        return real(change) | ({"value": Decimal("1e30")} if change.rule.id == broken.pk else {})

    monkeypatch.setattr(rounds, "_row", too_large)
    watch.close(101)
    result = watch.look()
    assert (result.changed, result.triggered) == (8, 8)
    assert set(AlertEvent.objects.values_list("alert_id", flat=True)) == {rule.pk for rule in rules} - {broken.pk}
    monkeypatch.setattr(rounds, "_row", real)
    assert watch.look().triggered == 1, "its alert is told once it can be written"
    assert AlertEvent.objects.count() == AlertRule.objects.count()
