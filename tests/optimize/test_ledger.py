"""Which searches count against one: those that were asked for before it, whether or not they were over by then."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import AbstractBaseUser

from optimize import trials
from optimize.models import OptimizationJob, TrialRecord

pytestmark = pytest.mark.django_db

FOLDS = {"n_splits": 5, "train_ratio": 0.7, "anchored": False, "embargo": 0}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def record(first: int, *, timeframe: str = "1d", folds: Mapping[str, object] = FOLDS, **changes: object) -> TrialRecord:
    made = trials.record(
        strategy_type="momentum",
        symbols=["MSFT"],
        timeframe=timeframe,
        source="sample",
        start=datetime(2005, 1, 1, tzinfo=UTC),
        end=datetime(2009, 12, 31, tzinfo=UTC),
        folds=folds,
        hashes=np.arange(first, first + 10, dtype=np.uint64),
        ratios=np.linspace(-0.1, 0.1, 10),
        periods=500,
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def asked(user: AbstractBaseUser, at: datetime) -> OptimizationJob:
    job = OptimizationJob.objects.create(kind="strategy", strategy_type="momentum", created_by=user)
    OptimizationJob.objects.filter(pk=job.pk).update(created_at=at)
    return job


def test_a_search_asked_for_before_counts_though_it_ended_after_the_other_was_asked_for(
    trader: AbstractBaseUser,
) -> None:
    """Twenty searches that are asked for at once are twenty searches."""
    job = asked(trader, NOON - timedelta(seconds=1))
    record(0, job=job, created_at=NOON + timedelta(minutes=5)).save()
    assert trials.tried(record(100), NOON).count == 20


def test_a_search_asked_for_later_changes_no_verdict_though_it_ended_first(trader: AbstractBaseUser) -> None:
    job = asked(trader, NOON + timedelta(seconds=1))
    record(0, job=job, created_at=NOON + timedelta(seconds=2)).save()
    assert trials.tried(record(100), NOON).count == 10


def test_an_entry_whose_job_is_gone_counts_from_when_it_was_written() -> None:
    record(0, created_at=NOON - timedelta(days=1)).save()
    record(50, created_at=NOON + timedelta(days=1)).save()
    assert trials.tried(record(100), NOON).count == 20


@pytest.mark.parametrize(
    "changed",
    [{"timeframe": "1h"}, {"folds": {**FOLDS, "n_splits": 4}}, {"folds": {**FOLDS, "anchored": True}}],
)
def test_the_same_combinations_on_other_bars_or_other_folds_are_other_trials(changed: dict[str, Any]) -> None:
    """Whoever asks until some number of folds says yes has asked as often."""
    before = NOON - timedelta(days=1)
    record(0, created_at=before).save()
    assert trials.tried(record(0), NOON).count == 10
    record(0, created_at=before, **changed).save()
    assert trials.tried(record(0), NOON).count == 20
