"""The table of figures that a search compares: those of the indicators to the last bit, whoever makes them."""

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimize.engine import Settings, evaluate, prepare
from optimize.engine.blocks import Figures
from optimize.engine.kernels.words import compare
from tests.optimize.histories import histories, walk
from tests.optimize.test_engine import TOLD
from workflows.strategies import Column, ColumnSource, column_sources
from workflows.strategies.rules import Columns

averages = st.builds(
    lambda period, on, shift: Column.of("sma", period=period, on=on, shift=shift),
    st.integers(2, 100),
    st.sampled_from(["close", "close", "close", "open", "hl2"]),
    st.sampled_from([0, 0, 0, 1, 200]),
)
others = st.sampled_from(
    [
        Column("close"),
        Column("volume", shift=2),
        Column.of("rsi", period=5),
        Column.of("macd", output="signal", fast=2, slow=4, signal=2),
        Column.of("macd", fast=2, slow=4, signal=2),
        Column.of("sma", output="value", period=3),
    ]
)


@given(
    bars=histories(),
    columns=st.lists(averages | others, min_size=1, max_size=12, unique=True),
    parts=st.integers(1, 5),
    threads=st.integers(1, 3),
)
def test_every_figure_is_the_indicators_to_the_last_bit(bars: Any, columns: Any, parts: int, threads: int) -> None:
    figures = Figures(SimpleNamespace(columns=tuple(columns)), prepare(bars), parts)  # type: ignore[arg-type]
    helpers = [threading.Thread(target=figures.make) for _ in range(threads)]
    for helper in helpers:
        helper.start()
    figures.make()
    live = Columns(bars)
    for row, column in enumerate(columns):
        np.testing.assert_array_equal(figures.table[row, : len(bars)], live.get(column), err_msg=str(column))
        known = np.unpackbits(figures.known[row].view(np.uint8), bitorder="little")
        np.testing.assert_array_equal(known[: len(bars)], np.isfinite(live.get(column)))
        assert not known[len(bars) :].any()
    for helper in helpers:
        helper.join()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_figure_that_cannot_be_made_ends_the_search_for_every_thread(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimize.engine.evaluation.LITTLE_WORK", 0)

    def fail(bars: Any, params: Any) -> Any:
        raise LookupError("no such model")

    whole = ColumnSource("leave", lambda bars, params: {"value": np.zeros(len(bars))})
    with column_sources.temporarily(ColumnSource("enter", fail), whole), pytest.raises(LookupError):
        evaluate(TOLD, [{}] * 20, [prepare(walk(100))], np.array([[[0, 100]]]), Settings(), threads=threads)


figure = st.sampled_from([0.0, -0.0, 1.0, 1.0, 2.0, np.nan])


@given(
    rows=st.lists(st.lists(figure, min_size=128, max_size=128), min_size=2, max_size=4),
    level=st.sampled_from([0.0, 1.0, 1.5]),
)
def test_equal_figures_are_neither_above_nor_below(rows: Any, level: float) -> None:
    table = np.array(rows)
    count = len(table)
    left = np.arange(count, dtype=np.int32)
    right = np.roll(left, 1)
    right[0] = -1
    levels = np.full(count, level)
    masks = np.empty((2 * count, 2), dtype=np.uint64)
    compare(table, left, right, levels, masks)
    said = np.unpackbits(masks.view(np.uint8), axis=1, bitorder="little").astype(bool)
    for pair in range(count):
        one, other = table[pair], table[right[pair]] if pair else np.full(128, level)
        known = ~(np.isnan(one) | np.isnan(other))
        np.testing.assert_array_equal(said[2 * pair][known], (one > other)[known])
        np.testing.assert_array_equal(said[2 * pair + 1][known], (one < other)[known])
