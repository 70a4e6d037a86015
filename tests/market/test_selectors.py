"""What a decision may see, and at what price one could trade, figured by hand from the sample."""

import csv
import gzip
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from market import selectors
from market.errors import InstrumentUnknown, SeriesEmpty, SeriesUnknown
from market.models import BarImport, BarSeries, DataSource, Instrument
from tests.market.conftest import SAMPLE, daily_csv

WALL = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
LAST_OPEN = datetime(2013, 3, 1, 14, 30, tzinfo=UTC)


def sample_rows(symbol: str) -> list[dict[str, str]]:
    with gzip.open(SAMPLE, "rt") as file:
        return [row for row in csv.DictReader(file) if row["Ticker"] == symbol]


def ibm(**more: Any) -> dict[str, Any]:
    return {"symbol": "IBM", "source": "sample", "timeframe": "1d", "adjustment": "split_dividend", **more}


def test_the_sample_is_adjusted_by_adjusted_close_over_close(sample: BarImport) -> None:
    rows = sample_rows("IBM")
    bars = selectors.bars_load(**ibm())
    factor = np.array([float(row["Adj Close"]) / float(row["Close"]) for row in rows])
    for name, header in (("open", "Open"), ("high", "High"), ("low", "Low"), ("close", "Close")):
        expected = np.array([float(row[header]) for row in rows]) * factor
        np.testing.assert_array_equal(getattr(bars, name), expected)
    np.testing.assert_array_equal(bars.volume, [float(row["Volume"]) for row in rows])
    assert len(bars) == 3270


def test_a_historical_market_stands_at_the_open_of_its_last_bar(sample: BarImport) -> None:
    series = selectors.series_get(**ibm())
    assert selectors.market_now(series=series, wall=WALL) == LAST_OPEN


def test_a_decision_sees_only_bars_that_have_ended(sample: BarImport) -> None:
    bars = selectors.complete_bars(**ibm(wall=WALL))
    assert bars.opened_at(-1).date().isoformat() == "2013-02-28"
    assert len(bars) == 3269


def test_an_order_on_the_sample_trades_at_the_open_of_the_last_bar(sample: BarImport) -> None:
    last = sample_rows("IBM")[-1]
    point = selectors.next_price(**ibm(after=LAST_OPEN, wall=WALL))
    assert point is not None
    assert point.time == LAST_OPEN
    expected = float(last["Open"]) * (float(last["Adj Close"]) / float(last["Close"]))
    assert point.price == Decimal(repr(expected)).quantize(Decimal("1e-10"))
    assert selectors.next_price(**ibm(after=LAST_OPEN + timedelta(seconds=1), wall=WALL)) is None


def test_a_position_is_marked_at_the_newest_price_known(sample: BarImport) -> None:
    point = selectors.mark_price(symbol="IBM", source="sample", timeframe="1d", adjustment="none", wall=WALL)
    assert point is not None
    # The sample stands still at the open of its last bar; before that it would be the close of the bar before.
    assert point.price == Decimal(sample_rows("IBM")[-1]["Open"])
    assert point.time == LAST_OPEN


def test_many_series_are_marked_as_each_alone(sample: BarImport, put: Callable[..., BarImport]) -> None:
    put(daily_csv(5), source="mine", clock="live")
    names = {
        selectors.SeriesName("IBM", "sample", "1d", "none"),
        selectors.SeriesName("IBM", "sample", "1d", "split_dividend"),
        selectors.SeriesName("MSFT", "sample", "1d", "none"),
        selectors.SeriesName("ACME", "mine", "1d", "none"),
        # Generated without ever having been imported.
        selectors.SeriesName("IBM", "demo", "1d", "none"),
    }
    # No such series; a row without bars; a symbol that cannot be generated; a name that mixes those of others.
    instrument, source = Instrument.objects.get(symbol="IBM"), DataSource.objects.get(slug="mine")
    BarSeries.objects.create(instrument=instrument, source=source, timeframe="1h", adjustment="none")
    without = {
        selectors.SeriesName("IBM", "gone", "1d", "none"),
        selectors.SeriesName("IBM", "mine", "1h", "none"),
        selectors.SeriesName("no symbol", "demo", "1d", "none"),
        selectors.SeriesName("ACME", "sample", "1d", "none"),
        selectors.SeriesName("IBM", "demo", "1d", "split"),
    }
    marks = selectors.mark_prices(names | without, wall=WALL)
    assert marks == {name: selectors.mark_price(**asdict(name), wall=WALL) for name in names}
    for name in without:
        with pytest.raises(SeriesUnknown):
            selectors.mark_price(**asdict(name), wall=WALL)
    assert selectors.mark_prices((), wall=WALL) == {}


def test_without_words_one_gets_the_default_source_and_the_most_adjusted_series(sample: BarImport) -> None:
    series = selectors.series_get(symbol="IBM")
    assert (series.source.slug, series.adjustment) == ("sample", "split_dividend")


def test_a_live_source_hides_the_bar_whose_session_still_runs(put: Callable[..., BarImport]) -> None:
    put(daily_csv(5), source="mine", clock="live")
    series = selectors.series_get(symbol="ACME")
    assert series.last_at is not None
    during, after = series.last_at + timedelta(hours=6), series.last_at + timedelta(hours=6, minutes=30)
    assert len(selectors.complete_bars(symbol="ACME", timeframe="1d", wall=during)) == 4
    assert len(selectors.complete_bars(symbol="ACME", timeframe="1d", wall=after)) == 5


def test_a_half_day_ends_at_one_o_clock(put: Callable[..., BarImport]) -> None:
    put("Date,Open,High,Low,Close\n2024-11-27,1,1,1,1\n2024-11-29,1,1,1,1\n", source="mine", clock="live")
    just = datetime(2024, 11, 29, 18, 0, tzinfo=UTC)
    assert len(selectors.complete_bars(symbol="ACME", timeframe="1d", wall=just)) == 2
    assert len(selectors.complete_bars(symbol="ACME", timeframe="1d", wall=just - timedelta(seconds=1))) == 1


def test_a_pinned_version_shows_the_same_bars_after_more_have_come(put: Callable[..., BarImport]) -> None:
    put(daily_csv(5), clock="historical")
    before = selectors.complete_bars(symbol="ACME", timeframe="1d", wall=WALL)
    put(daily_csv(10))
    now = selectors.complete_bars(symbol="ACME", timeframe="1d", wall=WALL)
    again = selectors.complete_bars(symbol="ACME", timeframe="1d", wall=WALL, version=before.version)
    assert (len(before), len(now)) == (4, 9)
    np.testing.assert_array_equal(again.close, before.close)
    np.testing.assert_array_equal(again.time, before.time)


def test_reading_takes_start_end_and_limit(put: Callable[..., BarImport]) -> None:
    put(daily_csv(10))
    whole = selectors.bars_load(symbol="ACME")
    part = selectors.bars_load(symbol="ACME", start=whole.opened_at(2), end=whole.opened_at(6))
    np.testing.assert_array_equal(part.time, whole.time[2:7])
    np.testing.assert_array_equal(selectors.bars_load(symbol="ACME", limit=3).time, whole.time[-3:])
    np.testing.assert_array_equal(
        selectors.bars_load(symbol="ACME", end=whole.opened_at(6), limit=2).time, whole.time[5:7]
    )
    with pytest.raises(SeriesEmpty):
        selectors.bars_load(symbol="ACME", start=whole.opened_at(9) + timedelta(days=1))


def test_what_is_not_there_is_said_with_what_is(sample: BarImport) -> None:
    with pytest.raises(InstrumentUnknown):
        selectors.instrument_get("NOPE")
    with pytest.raises(SeriesUnknown, match="sample/1d/none"):
        selectors.bars_load(symbol="IBM", timeframe="1h")
    with pytest.raises(SeriesUnknown, match="no version 99"):
        selectors.bars_load(symbol="IBM", version=99)


def test_two_sources_without_a_default_are_not_chosen_between(put: Callable[..., BarImport]) -> None:
    put(daily_csv(3), source="one")
    put(daily_csv(3), source="two")
    Instrument.objects.update(default_source=None)
    with pytest.raises(SeriesUnknown, match="one, two"):
        selectors.bars_load(symbol="ACME")


def test_bars_cannot_be_changed_by_who_reads_them(sample: BarImport) -> None:
    bars = selectors.bars_load(symbol="IBM")
    with pytest.raises(ValueError, match="read-only"):
        bars.close[0] = 1.0
