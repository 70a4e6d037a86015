"""Folds: training knows nothing of the test, in time, whatever the symbols' calendars."""

import itertools
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.bars import from_ns
from optimize.learning.errors import ModelConfigInvalid, ModelDataInsufficient
from optimize.learning.features import FeatureConfig
from optimize.learning.folds import (
    FoldConfig,
    fold_config,
    inner_split,
    purged,
    rows_between,
    training_rows,
    walk_forward,
)
from optimize.learning.labels import LabelConfig
from optimize.learning.panel import Panel, build, fingerprint, uniqueness
from tests.optimize.learning.samples import begin, finish, noise

FEATURES = FeatureConfig(returns=(1,), volatility=(), indicators=())
LABELS = (LabelConfig(horizon=7), LabelConfig(kind="triple_barrier", horizon=12, period=5))


def _panel(label: LabelConfig, seed: int = 0, count: int = 300, keep: float = 0.8) -> Panel:
    series = [noise(count, seed + k, symbol=f"S{k}", keep=keep) for k in range(3)]
    return build(
        series, FEATURES, label, start=begin(noise(1)), end=datetime(2030, 1, 1, tzinfo=begin(noise(1)).tzinfo)
    )


def _windows(panel: Panel, rows: np.ndarray) -> list[tuple[int, int]]:
    """Return when the first and the last bar opened that each row's features and label were made of, at the row's end."""
    return [
        (int(panel.opened[row]), int(panel.bars[panel.symbol[row]].time[panel.end[row]]))
        for row in rows
        if panel.up[row] != -1
    ]


@given(
    label=st.sampled_from(LABELS),
    seed=st.integers(0, 50),
    splits=st.integers(2, 6),
    ratio=st.floats(0.3, 0.7),
    anchored=st.booleans(),
    embargo=st.integers(0, 20),
)
def test_no_training_label_reaches_into_the_test_or_its_embargo(
    label: LabelConfig, seed: int, splits: int, ratio: float, anchored: bool, embargo: int
) -> None:
    panel = _panel(label, seed)
    for fold in walk_forward(len(panel.axis), FoldConfig(splits, ratio, anchored, embargo)):
        train = training_rows(panel, fold, embargo)
        barrier = panel.axis[max(0, fold.test[0] - embargo)]
        assert len(train)
        assert all(panel.axis[fold.train[0]] <= first <= last < barrier for first, last in _windows(panel, train))


@given(label=st.sampled_from(LABELS), seed=st.integers(0, 50), start=st.integers(60, 200), embargo=st.integers(0, 20))
def test_training_on_both_sides_of_a_test_overlaps_no_label_of_it(
    label: LabelConfig, seed: int, start: int, embargo: int
) -> None:
    panel = _panel(label, seed)
    test = (start, start + 40)
    train = purged(panel, [(0, start), (start + 40, len(panel.axis))], test, embargo)
    tested = _windows(panel, rows_between(panel, test))
    ends = max(last for _, last in tested)
    for first, last in _windows(panel, train):
        assert last < panel.axis[max(0, start - embargo)] or first > ends
        if first > ends:
            assert np.searchsorted(panel.axis, first) - np.searchsorted(panel.axis, ends) > embargo
    assert any(first > ends for first, _ in _windows(panel, train))


def test_purging_leaves_out_no_more_than_it_must() -> None:
    panel = _panel(LabelConfig(horizon=3), keep=1.0)
    fold = walk_forward(len(panel.axis), FoldConfig(4, 0.5, True, 0))[0]
    train = training_rows(panel, fold, 0)
    # The label of bar t ends with bar t+4: the last row to keep is the one that ends right before the test.
    assert panel.opened[train].max() == panel.axis[fold.test[0] - 5]


@given(count=st.integers(100, 5000), splits=st.integers(2, 8), ratio=st.floats(0.1, 0.9), anchored=st.booleans())
def test_tests_follow_each_other_without_a_gap_and_training_always_lies_before(
    count: int, splits: int, ratio: float, anchored: bool
) -> None:
    config = FoldConfig(splits, ratio, anchored)
    try:
        folds = walk_forward(count, config)
    except ModelDataInsufficient:
        assert (count - round(count * ratio)) // splits < 10
        return
    assert folds[-1].test[1] == count
    for before, fold in itertools.pairwise(folds):
        assert before.test[1] == fold.test[0]
    for fold in folds:
        assert fold.train[1] == fold.test[0]
        assert fold.train[0] == 0 if anchored else fold.train[1] - fold.train[0] == folds[0].test[0]


@given(label=st.sampled_from(LABELS), seed=st.integers(0, 50), share=st.floats(0.1, 0.5))
def test_the_inner_validation_is_later_than_what_is_fitted_and_purged_from_it(
    label: LabelConfig, seed: int, share: float
) -> None:
    panel = _panel(label, seed)
    rows = training_rows(panel, walk_forward(len(panel.axis), FoldConfig(3))[0], 3)
    fit, watched = inner_split(panel, rows, share)
    assert len(fit)
    assert len(watched)
    begins = panel.opened[watched].min()
    assert all(last < begins for _, last in _windows(panel, fit))


def test_weights_are_the_uniqueness_of_labels_counted_by_hand() -> None:
    panel = _panel(LabelConfig(horizon=2), count=60, keep=1.0)
    rows = np.flatnonzero(panel.labelled)[10:70:3]
    spans = [set() for _ in rows]
    for place, row in enumerate(rows):
        spans[place] = {(int(panel.symbol[row]), bar) for bar in range(panel.bar[row] + 1, panel.end[row] + 1)}
    expected = np.array([np.mean([1 / sum(bar in other for other in spans) for bar in own]) for own in spans])
    np.testing.assert_allclose(uniqueness(panel, rows), expected / expected.mean(), rtol=1e-12)


def test_bars_outside_the_period_are_no_rows_and_no_part_of_a_label() -> None:
    bars = noise(300)
    start, end = from_ns(int(bars.time[100])), from_ns(int(bars.time[199]))
    panel = build([bars], FEATURES, LabelConfig(horizon=5), start=start, end=end)
    assert len(panel.axis) == 100
    assert (panel.opened[0], panel.opened[-1]) == (bars.time[100], bars.time[199])
    shorter = build([bars.slice(0, 200)], FEATURES, LabelConfig(horizon=5), start=start, end=end)
    np.testing.assert_array_equal(panel.up, shorter.up)
    assert (panel.up[-6:] == -1).all()
    assert (panel.up[:-6] != -1).all()


def test_a_period_without_bars_is_refused() -> None:
    bars = noise(50)
    later = datetime(2029, 1, 1, tzinfo=finish(bars).tzinfo)
    with pytest.raises(ModelDataInsufficient):
        build([bars], FEATURES, LabelConfig(), start=later, end=later)


def test_a_fingerprint_changes_with_any_price_and_with_the_name_of_the_series() -> None:
    one = fingerprint([noise(50, 1), noise(50, 2)])
    assert one == fingerprint([noise(50, 1), noise(50, 2)])
    assert one != fingerprint([noise(50, 2), noise(50, 1)])
    assert one != fingerprint([noise(50, 1, symbol="OTHER"), noise(50, 2)])


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"n_splits": 1}, "n_splits"),
        ({"train_ratio": 1.0}, "train_ratio"),
        ({"anchored": "yes"}, "anchored"),
        ({"embargo": -1}, "embargo"),
        ({"shuffle": True}, "shuffle"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_named(value: dict[str, object], name: str) -> None:
    with pytest.raises(ModelConfigInvalid) as caught:
        fold_config(value)
    assert [error.pointer for error in caught.value.errors] == [f"folds/{name}"]
    assert fold_config(FoldConfig().as_json()) == FoldConfig()
