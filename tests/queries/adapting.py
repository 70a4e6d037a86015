"""Adaptations to count queries on: more of them each time, and the first one with more of everything."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from optimize.adaptation.models import (
    AdaptationEvent,
    AdaptationRound,
    AdaptationWatch,
    LiveAdaptation,
    RegimePoint,
)
from scheduler.models import Schedule
from tradingsite.common.clock import utcnow
from tradingsite.common.ids import uuid7
from workflows.models import Strategy

REGIME = {"kind": "volatility", "symbol": "SYM1", "cooldown_bars": 5}
PROMISE = {"mean": 0.001, "deviation": 0.01, "width": 2.0, "level": 0.05, "bars": 20, "drawdown": 0.1}
PARAMS = {"fast": 10, "slow": 50}


def adapting(rows: Any, author: AbstractBaseUser) -> None:
    """Add an adaptation with a proposal that waits, a round under way, regimes and a watch; the first gets more of each."""
    name = f"Strategy {rows.count}"
    schedule = Schedule.objects.create(
        name=f"Adapt {name}", job_type="optimize.adapt_parameters", kind="cron", cron="0 22 * * *", next_run_at=utcnow()
    )
    adaptation = LiveAdaptation.objects.create(
        strategy=Strategy.objects.get(name=name), trailing_window=200, max_param_change_pct=20, objective="sharpe",
        regime=REGIME, costs={"fee": 0.0, "slippage": 0.0}, watch_bars=20, schedule=schedule, created_by=author,
    )  # fmt: skip
    first = getattr(rows, "adaptation", adaptation)
    for which in (adaptation, first) if first != adaptation else (adaptation,):
        event = happened(which)
        AdaptationRound.objects.create(
            adaptation=which, trigger="schedule", job_id=uuid7(), live_params=PARAMS,
            ended_at=None if which is adaptation else utcnow(),
        )  # fmt: skip
        RegimePoint.objects.create(
            adaptation=which, bar_time=utcnow() - timedelta(days=9_000 - rows.count), label="calm",
            value=float(rows.count), changed_from="normal",
        )  # fmt: skip
        AdaptationWatch.objects.create(
            adaptation=which, event_number=event.number, applied=False, params=PARAMS, shadow_params=PARAMS,
            promise=PROMISE, from_time=utcnow(),
        )  # fmt: skip


def happened(adaptation: LiveAdaptation) -> AdaptationEvent:
    """Add an event, as a service would."""
    adaptation.events_count += 1
    adaptation.save(update_fields=["events_count"])
    return AdaptationEvent.objects.create(
        adaptation=adaptation, number=adaptation.events_count, trigger="schedule", status="proposed",
        live_params=PARAMS, proposed_params={"fast": 12, "slow": 50}, message="They did better on unseen bars.",
    )  # fmt: skip
