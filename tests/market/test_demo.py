"""The generated market: the same for everyone, never rewritten, one truth in every timeframe."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from market import selectors, services
from market.bars import Bars
from market.calendars import calendar
from market.errors import SeriesUnknown
from market.models import BarSeries, Instrument
from market.sources import demo, generator
from tradingsite.common.actor import Actor
from tradingsite.common.errors import ValidationFailed

THURSDAY = datetime(2025, 11, 20, 16, 7, 30, tzinfo=UTC)  # session 14:30 to 21:00


def forget() -> None:
    generator._paths.clear()
    generator.session_minutes.cache_clear()


def same(a: Bars, b: Bars) -> None:
    for name, column in a.columns().items():
        np.testing.assert_array_equal(column, getattr(b, name))


def test_the_figures_are_the_same_on_every_machine_and_day() -> None:
    bars = demo.bars("ACME", "1d", wall=datetime(2015, 1, 8, tzinfo=UTC))
    figures = [
        [round(float(getattr(bars, name)[i]), 2) for name in ("open", "high", "low", "close")] for i in range(len(bars))
    ]
    assert figures == RECORDED


def test_what_is_asked_for_again_is_the_same() -> None:
    first = demo.bars("ACME", "5m", wall=THURSDAY, limit=500)
    forget()
    same(first, demo.bars("ACME", "5m", wall=THURSDAY, limit=500))


@pytest.mark.parametrize("timeframe", ["1d", "1h", "15m", "1m"])
def test_time_adds_bars_and_changes_none(timeframe: str) -> None:
    forget()
    # Asked from the past first, so that the longer path is not what the shorter is cut from.
    early = generator._make_path("ACME", (date(2020, 6, 1) - date(1970, 1, 1)).days)
    late = generator._make_path("ACME", (date(2025, 6, 2) - date(1970, 1, 1)).days)
    count = len(early.days)
    np.testing.assert_array_equal(early.log_open, late.log_open[:count])
    for before, after in zip(early.daily, late.daily, strict=True):
        np.testing.assert_array_equal(before, after[:count])
    short = demo.bars("ACME", timeframe, wall=THURSDAY - timedelta(days=3), limit=300)
    long = demo.bars("ACME", timeframe, wall=THURSDAY, start=short.opened_at(0))
    assert len(long) > len(short)
    same(short, long.slice(0, len(short)))
    assert long.version - short.version == len(long) - len(short)


@pytest.mark.parametrize("day", [date(2025, 11, 19), date(2024, 11, 29)], ids=["full day", "half day"])
@pytest.mark.parametrize("timeframe", ["1m", "5m", "15m", "1h"])
def test_intraday_bars_add_up_to_the_day_to_the_cent(timeframe: str, day: date) -> None:
    opened = calendar("XNYS").session_open(day)
    daily = demo.bars("ACME", "1d", wall=THURSDAY, start=opened).until(opened)
    parts = demo.bars("ACME", timeframe, wall=THURSDAY, start=opened).until(calendar("XNYS").session_close(day))
    parts = parts.slice(0, int(np.searchsorted(parts.time, np.int64(parts.time[0] + 86_400_000_000_000 // 2))))
    assert parts.open[0] == daily.open[0]
    assert parts.high.max() == daily.high[0]
    assert parts.low.min() == daily.low[0]
    assert parts.close[-1] == daily.close[0]
    assert parts.volume.sum() == daily.volume[0]


def test_bars_make_sense_as_prices() -> None:
    for symbol in ("ACME", "SPY", "BRK.B"):
        bars = demo.bars(symbol, "1m", wall=THURSDAY, limit=5_000)
        assert np.all(bars.low <= np.minimum(bars.open, bars.close))
        assert np.all(bars.high >= np.maximum(bars.open, bars.close))
        assert np.all(bars.low > 0)
        np.testing.assert_array_equal(bars.close, np.round(bars.close, 2))


def test_only_complete_bars_are_given_and_only_in_sessions() -> None:
    bars = demo.bars("ACME", "15m", wall=THURSDAY, limit=100)
    assert bars.opened_at(-1) == datetime(2025, 11, 20, 15, 45, tzinfo=UTC)
    daily = demo.bars("ACME", "1d", wall=THURSDAY)
    assert daily.opened_at(-1).date() == date(2025, 11, 19)
    known = calendar("XNYS")
    assert all(known.is_open(bars.opened_at(index)) for index in range(len(bars)))


def test_a_limit_gives_the_newest_bars_of_the_whole() -> None:
    whole = demo.bars("ACME", "1h", wall=THURSDAY)
    for limit in (1, 2, 7, 8, 100):
        part = demo.bars("ACME", "1h", wall=THURSDAY, limit=limit)
        same(part, whole.last(limit))
        assert part.version == whole.version == len(whole)


def test_every_regime_occurs_and_symbols_differ() -> None:
    path = generator.path("ACME", (THURSDAY.date() - date(1970, 1, 1)).days)
    assert set(path.regime.tolist()) == {0, 1, 2, 3}
    one, two = (demo.bars(symbol, "1d", wall=THURSDAY) for symbol in ("ACME", "ACMF"))
    assert not np.array_equal(one.close, two.close)


def test_a_pinned_version_gives_the_same_bars_later(db: None) -> None:
    for timeframe in ("1d", "15m", "1m"):
        before = selectors.complete_bars(symbol="ACME", source="demo", timeframe=timeframe, wall=THURSDAY, limit=50)
        later = selectors.complete_bars(
            symbol="ACME",
            source="demo",
            timeframe=timeframe,
            wall=THURSDAY + timedelta(days=9),
            limit=50,
            version=before.version,
        )
        same(before, later)


def test_an_order_trades_at_the_next_minute_and_waits_for_the_session(db: None) -> None:
    words = {"symbol": "ACME", "source": "demo", "timeframe": "1d", "adjustment": None}
    minute = datetime(2025, 11, 20, 16, 8, tzinfo=UTC)
    assert selectors.next_price(**words, after=THURSDAY, wall=THURSDAY) is None
    point = selectors.next_price(**words, after=THURSDAY, wall=minute)
    assert point is not None
    assert point.time == minute
    bar = demo.bars("ACME", "1m", wall=minute + timedelta(minutes=1), limit=1)
    assert float(point.price) == bar.open[-1]
    night = datetime(2025, 11, 21, 3, 0, tzinfo=UTC)
    assert selectors.next_price(**words, after=night, wall=night) is None
    morning = selectors.next_price(**words, after=night, wall=night + timedelta(hours=13))
    assert morning is not None
    assert morning.time == datetime(2025, 11, 21, 14, 30, tzinfo=UTC)


def test_a_position_is_marked_by_the_minute_and_by_the_close_at_night(db: None) -> None:
    words = {"symbol": "ACME", "source": "demo", "timeframe": "1d", "adjustment": None}
    day = selectors.mark_price(**words, wall=THURSDAY)
    assert day is not None
    assert day.time == datetime(2025, 11, 20, 16, 7, tzinfo=UTC)
    night = selectors.mark_price(**words, wall=datetime(2025, 11, 21, 3, 0, tzinfo=UTC))
    assert night is not None
    close = demo.bars("ACME", "1d", wall=datetime(2025, 11, 21, 3, 0, tzinfo=UTC), limit=1).close[-1]
    assert float(night.price) == close
    assert night.time == datetime(2025, 11, 20, 21, 0, tzinfo=UTC)


@pytest.mark.parametrize("symbol", ["acme", "../X", "A" * 16, "", "1A", "A B"])
def test_what_is_no_symbol_has_no_prices(symbol: str) -> None:
    with pytest.raises(SeriesUnknown):
        demo.bars(symbol, "1d", wall=THURSDAY)


def test_importing_enters_the_rows_and_says_generated(db: None) -> None:
    done = services.bars_import_source(actor=Actor.system("tests"), source="demo", symbols=["ACME", "SPY"])
    assert done.report["warnings"][0]["code"] == "generated"
    series = BarSeries.objects.select_related("source", "instrument").get(instrument__symbol="ACME")
    assert series.source.generated
    assert series.version == series.bars_count > 2_000
    again = services.bars_import_source(actor=Actor.system("tests"), source="demo", symbols=["ACME"])
    assert again.report["added"] == 0


def test_invented_prices_are_nobodys_default(db: None) -> None:
    services.bars_import_source(actor=Actor.system("tests"), source="demo", symbols=["IBM"])
    assert Instrument.objects.get(symbol="IBM").default_source is None
    services.bars_import_source(actor=Actor.system("tests"), source="sample", symbols=["IBM"])
    assert selectors.series_get(symbol="IBM").source.slug == "sample"


def test_the_demo_needs_names(db: None) -> None:
    with pytest.raises(ValidationFailed) as caught:
        services.bars_import_source(actor=Actor.system("tests"), source="demo")
    assert caught.value.errors[0].pointer == "symbols"


RECORDED = [
    [305.22, 323.18, 301.93, 311.27],
    [300.46, 304.64, 291.0, 299.48],
    [302.13, 351.94, 301.72, 347.16],
    [333.02, 335.1, 314.86, 325.96],
]
