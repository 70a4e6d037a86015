"""Files: good ones come in once, bad ones not at all, and each fault is named by its line."""

import gzip
import io
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from market import selectors, services, store
from market.errors import ImportRejected
from market.models import BarImport, BarSeries, DataSource, Instrument
from market.options import ImportOptions
from market.tables import Limits
from tests.market.conftest import DAYS, HEADER, daily_csv, sample_slice
from tradingsite.common.actor import Actor
from tradingsite.common.errors import ValidationFailed

Put = Callable[..., BarImport]
GOOD = "2024-01-02,100,102,99,101,1000"


def lines(*rows: str) -> str:
    return "\n".join([HEADER, *rows]) + "\n"


BAD_FILES: dict[str, tuple[str | bytes, dict[str, Any], str, str]] = {
    "high below low": (lines(GOOD, "2024-01-03,100,98,99,100,1"), {}, "file/line/3/high", "high_below_low"),
    "close above high": (lines(GOOD, "2024-01-03,100,102,99,103,1"), {}, "file/line/3/close", "outside_range"),
    "open below low": (lines("2024-01-03,98,102,99,101,1"), {}, "file/line/2/open", "outside_range"),
    "negative price": (lines(GOOD, "2024-01-03,100,102,-99,101,1"), {}, "file/line/3/low", "not_positive"),
    "zero price": (lines("2024-01-03,0,102,99,101,1"), {}, "file/line/2/open", "not_positive"),
    "nan price": (lines("2024-01-03,100,nan,99,101,1"), {}, "file/line/2/high", "not_finite"),
    "infinite price": (lines("2024-01-03,100,inf,99,101,1"), {}, "file/line/2/high", "not_finite"),
    "absurd price": (lines("2024-01-03,1e15,1e15,1e15,1e15,1"), {}, "file/line/2/close", "out_of_range"),
    "text for a price": (lines("2024-01-03,100,102,99,n/a,1"), {}, "file/line/2/close", "not_a_number"),
    "underscored price": (lines("2024-01-03,1_00,102,99,101,1"), {}, "file/line/2/open", "not_a_number"),
    "empty price": (lines("2024-01-03,100,,99,101,1"), {}, "file/line/2/high", "missing"),
    "negative volume": (lines("2024-01-03,100,102,99,101,-1"), {}, "file/line/2/volume", "negative"),
    "no date": (lines(",100,102,99,101,1"), {}, "file/line/2/time", "missing"),
    "no date at all": (lines("yesterday,100,102,99,101,1"), {}, "file/line/2/time", "not_a_time"),
    "impossible date": (lines("2024-02-30,100,102,99,101,1"), {}, "file/line/2/time", "not_a_time"),
    "weekend": (lines("2024-01-06,100,102,99,101,1"), {}, "file/line/2/time", "not_a_session"),
    "holiday": (lines("2024-12-25,100,102,99,101,1"), {}, "file/line/2/time", "not_a_session"),
    "future": (lines("2026-01-06,100,102,99,101,1"), {}, "file/line/2/time", "in_the_future"),
    "before the calendar": (lines("1901-01-02,100,102,99,101,1"), {}, "file/line/2/time", "outside_calendar"),
    "conflicting duplicate": (
        lines(GOOD, "2024-01-02,100,102,99,100,1000"),
        {},
        "file/line/3/time",
        "conflicting_duplicate",
    ),
    "too few cells": (lines(GOOD, "2024-01-03,100"), {}, "file/line/3", "wrong_number_of_cells"),
    "too many cells": (lines(GOOD + ",7"), {}, "file/line/2", "wrong_number_of_cells"),
    "missing column": ("Date,Open,High,Low\n2024-01-02,1,1,1\n", {}, "file/line/1/close", "missing_column"),
    "wrong mapping": (lines(GOOD), {"mapping": {"close": "Adj Close"}}, "file/line/1/close", "missing_column"),
    "ambiguous header": (
        "Date,Time,Open,High,Low,Close\n2024-01-02,10:00,1,1,1,1\n",
        {},
        "file/line/1/time",
        "ambiguous_column",
    ),
    "path for a symbol": (
        "Symbol,Date,Open,High,Low,Close\n../../etc,2024-01-02,1,1,1,1\n",
        {"symbols": ()},
        "file/line/2/symbol",
        "invalid_symbol",
    ),
    "no symbol": (lines(GOOD), {"symbols": ()}, "file/symbol", "missing_column"),
    "symbol not in the file": (
        "Symbol,Date,Open,High,Low,Close\nOTHER,2024-01-02,1,1,1,1\n",
        {},
        "file/symbol",
        "symbol_missing",
    ),
    "no adjusted close": (lines(GOOD), {"adjust_from": "adj_close"}, "file/adj_close", "missing_column"),
    "unclosed quote": (lines(GOOD, '"2024-01-03,100,102,99,101,1'), {}, "file/line/3", "malformed_csv"),
    "not utf-8": (HEADER.encode() + b"\n2024-01-02,\xff,1,1,1,1\n", {}, "file/line/1", "not_utf8"),
    "empty": (b"", {}, "file", "empty_file"),
    "blank": (b"\n\n", {}, "file", "empty_file"),
    "header only": (HEADER + "\n", {}, "file", "no_rows"),
    "damaged gzip": (gzip.compress(lines(GOOD).encode())[:-12], {}, "file", "malformed_gzip"),
    "garbage gzip": (b"\x1f\x8b\x08\x00garbage-garbage-garbage", {}, "file", "malformed_gzip"),
    "zip": (b"PK\x03\x04rest", {}, "file", "unsupported_format"),
    "garbage parquet": (b"PAR1 this is no parquet PAR1", {}, "file", "malformed_parquet"),
    "naive intraday time": (
        lines("2024-01-02 09:30:00,1,1,1,1,1"),
        {"timeframe": "1h"},
        "file/line/2/time",
        "no_time_zone",
    ),
    "intraday without time": (lines("2024-01-02,1,1,1,1,1"), {"timeframe": "1h"}, "file/line/2/time", "no_time_of_day"),
    "intraday at night": (
        lines("2024-01-02T03:00:00Z,1,1,1,1,1"),
        {"timeframe": "1h"},
        "file/line/2/time",
        "outside_session",
    ),
    "intraday between bars": (
        lines("2024-01-02T14:37:00Z,1,1,1,1,1"),
        {"timeframe": "15m"},
        "file/line/2/time",
        "not_aligned",
    ),
    "hour that the clocks skip": (
        lines("2024-03-10 02:30:00,1,1,1,1,1"),
        {"timeframe": "15m", "tz": "America/New_York", "exchange": "24/7"},
        "file/line/2/time",
        "no_such_time",
    ),
    "hour that comes twice": (
        lines("2024-11-03 01:30:00,1,1,1,1,1"),
        {"timeframe": "15m", "tz": "America/New_York", "exchange": "24/7"},
        "file/line/2/time",
        "ambiguous_time",
    ),
}


@pytest.fixture(autouse=True)
def _monday(frozen_clock: Callable[[datetime], None]) -> None:
    """The clock stands at Monday 2026-01-05 15:00 UTC."""


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_by_line_and_leaves_nothing(name: str, put: Put, data_dir: Path) -> None:
    content, options, pointer, code = BAD_FILES[name]
    with pytest.raises(ImportRejected) as caught:
        put(content, **options)
    assert (pointer, code) in [(error.pointer, error.code) for error in caught.value.errors]
    assert not BarSeries.objects.exists()
    assert not Instrument.objects.exists()
    assert not DataSource.objects.exists()
    assert not list(data_dir.rglob("*.parquet"))
    kept = BarImport.objects.get()
    assert (kept.status, kept.report["problems_total"]) == ("failed", len(caught.value.errors))
    assert caught.value.extra["import_id"] == str(kept.pk)


def test_all_faults_are_counted_and_a_hundred_shown(put: Put) -> None:
    rows = [f"{day},100,98,99,100,1" for day in DAYS[:150]]
    with pytest.raises(ImportRejected) as caught:
        put(lines(*rows))
    assert len(caught.value.errors) == 100
    assert caught.value.extra["errors_total"] == 150


def test_one_bad_symbol_keeps_the_good_ones_out_too(put: Put) -> None:
    head = "Symbol,Date,Open,High,Low,Close\n"
    with pytest.raises(ImportRejected):
        put(f"{head}GOOD,2024-01-02,1,1,1,1\nBAD,2024-01-02,1,0.5,1,1\n", symbols=())
    assert not BarSeries.objects.exists()


def test_a_second_import_of_the_same_file_changes_nothing(put: Put, data_dir: Path) -> None:
    first = put(daily_csv(10))
    files = sorted(data_dir.rglob("*.parquet"))
    second = put(daily_csv(10))
    assert (first.report["added"], second.report["added"], second.report["unchanged"]) == (10, 0, 10)
    assert sorted(data_dir.rglob("*.parquet")) == files
    assert BarSeries.objects.get().version == 1


def test_new_bars_make_a_new_version_and_leave_the_old_file(put: Put, data_dir: Path) -> None:
    put(daily_csv(10))
    done = put(daily_csv(15))
    assert (done.report["added"], done.report["unchanged"]) == (5, 10)
    series = BarSeries.objects.get()
    assert (series.version, series.bars_count) == (2, 15)
    assert sorted(path.name for path in data_dir.rglob("*.parquet")) == ["1.parquet", "2.parquet"]


def test_bars_that_contradict_stored_ones_are_refused_unless_they_shall_replace_them(put: Put) -> None:
    put(daily_csv(5))
    other = daily_csv(5).replace(f"{DAYS[2]},102.0,104.0", f"{DAYS[2]},102.0,105.0")
    with pytest.raises(ImportRejected) as caught:
        put(other)
    assert [(error.pointer, error.code) for error in caught.value.errors] == [
        ("file/line/4/time", "conflicts_with_stored")
    ]
    assert selectors.bars_load(symbol="ACME").high[2] == 104.0
    done = put(other, on_conflict="replace")
    assert (done.report["replaced"], done.report["unchanged"]) == (1, 4)
    assert selectors.bars_load(symbol="ACME").high[2] == 105.0


def test_identical_duplicates_and_any_order_of_lines_are_fine(put: Put) -> None:
    rows = daily_csv(5).splitlines()
    done = put("\n".join([rows[0], *reversed(rows[1:]), rows[3]]))
    assert (done.report["duplicates"], done.report["added"]) == (1, 5)
    assert np.all(np.diff(selectors.bars_load(symbol="ACME").time) > 0)


def test_gaps_are_reported_with_their_dates(put: Put) -> None:
    rows = daily_csv(8).splitlines()
    done = put("\n".join(rows[:3] + rows[5:]))
    (gap,) = [warning for warning in done.report["warnings"] if warning["code"] == "gap"]
    assert gap["dates"] == [str(DAYS[2]), str(DAYS[3])]
    assert gap["sessions"] == 2


def test_a_halved_price_is_pointed_out(put: Put) -> None:
    done = put(lines("2024-01-02,100,100,100,100,1", "2024-01-03,40,40,40,40,1"))
    assert [(w["code"], w["dates"]) for w in done.report["warnings"]] == [("jump", ["2024-01-03"])]


def test_a_rounded_close_widens_the_range_of_its_bar(put: Put) -> None:
    done = put(lines("2024-01-02,1.0,1.23,1.0,1.23004,1"))
    assert done.report["rounded"] == 1
    assert selectors.bars_load(symbol="ACME").high[0] == 1.23004


def test_a_daily_bar_opens_with_the_session_in_winter_and_summer_time(put: Put) -> None:
    put(lines("2024-03-08,1,1,1,1,1", "2024-03-11,1,1,1,1,1", "2024-11-04,1,1,1,1,1"))
    bars = selectors.bars_load(symbol="ACME")
    assert [bars.opened_at(i).strftime("%m-%d %H:%M") for i in range(3)] == [
        "03-08 14:30",
        "03-11 13:30",
        "11-04 14:30",
    ]


@pytest.mark.parametrize(
    "cell",
    ["2024-01-02", "20240102", "2024-01-02 00:00:00", "2024-01-02T00:00:00-05:00", "2024-01-02T14:30:00Z"],
)
def test_a_day_can_be_written_in_many_ways(cell: str, put: Put) -> None:
    put(lines(f"{cell},1,1,1,1,1"))
    assert selectors.bars_load(symbol="ACME").opened_at(0) == datetime(2024, 1, 2, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize("cell", ["2024-07-01T09:30:00", "2024-07-01 13:30:00Z", "1719840600", "1719840600000"])
def test_a_moment_can_be_written_in_many_ways(cell: str, put: Put) -> None:
    put(lines(f"{cell},1,1,1,1,1"), timeframe="1h", tz="America/New_York")
    assert selectors.bars_load(symbol="ACME", timeframe="1h").opened_at(0) == datetime(2024, 7, 1, 13, 30, tzinfo=UTC)


def test_a_date_format_reads_what_is_not_iso(put: Put) -> None:
    put("Date;Open;High;Low;Close\n02.01.2024;1;1;1;1\n", date_format="%d.%m.%Y")
    assert selectors.bars_load(symbol="ACME").opened_at(0).date() == date(2024, 1, 2)


def test_missing_intraday_bars_are_counted(put: Put) -> None:
    rows = []
    for day, hours in (("02", 7), ("03", 5), ("04", 7)):
        rows += [f"2024-01-{day}T{14 + hour}:30:00Z,1,1,1,1,1" for hour in range(hours)]
    done = put(lines(*rows), timeframe="1h")
    (gap,) = done.report["warnings"]
    assert (gap["short_sessions"], gap["bars"]) == (1, 2)


def test_the_shipped_file_comes_in_adjusted_by_one_option(put: Put) -> None:
    done = put(sample_slice("IBM", 300), symbols=("IBM",), source="my-prices", adjust_from="adj_close")
    assert done.report["series"][0]["adjustment"] == "split_dividend"
    services.bars_import_source(actor=Actor.system("tests"), source="sample", symbols=["IBM"])
    ours = selectors.bars_load(symbol="IBM", source="my-prices")
    theirs = selectors.bars_load(symbol="IBM", source="sample", limit=300)
    np.testing.assert_array_equal(ours.close, theirs.close)
    np.testing.assert_array_equal(ours.open, theirs.open)


def test_only_the_symbols_asked_for_are_taken(put: Put) -> None:
    head = "Ticker,Date,Open,High,Low,Close\n"
    done = put(f"{head}ONE,2024-01-02,1,1,1,1\nTWO,2024-01-02,1,1,1,1\n", symbols=("TWO",))
    assert done.report["filtered"] == 1
    assert list(Instrument.objects.values_list("symbol", flat=True)) == ["TWO"]


def parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def test_parquet_comes_in_like_csv(put: Put) -> None:
    one = [1.0, 2.0]
    put(parquet(date=[date(2024, 1, 2), date(2024, 1, 3)], open=one, high=one, low=one, close=one, volume=[1, 2]))
    np.testing.assert_array_equal(selectors.bars_load(symbol="ACME").close, one)


def test_parquet_timestamps_keep_their_zone(put: Put) -> None:
    times = pa.array([datetime(2024, 7, 1, 13, 30, tzinfo=UTC)], pa.timestamp("ns", "America/New_York"))
    put(parquet(timestamp=times, open=[1], high=[1], low=[1], close=[1]), timeframe="1h")
    bars = selectors.bars_load(symbol="ACME", timeframe="1h")
    assert bars.opened_at(0) == datetime(2024, 7, 1, 13, 30, tzinfo=UTC)


def test_faults_in_parquet_are_named_by_row(put: Put) -> None:
    dates = [date(2024, 1, 2), date(2024, 1, 3)]
    with pytest.raises(ImportRejected) as caught:
        put(parquet(date=dates, open=[1.0, 1.0], high=[1.0, None], low=[1.0, 1.0], close=[1.0, 1.0]))
    assert [error.pointer for error in caught.value.errors] == ["file/line/2/high"]
    with pytest.raises(ImportRejected) as caught:
        put(parquet(date=dates, open=[1.0, 1.0], high=["a", "b"], low=[1.0, 1.0], close=[1.0, 1.0]))
    assert caught.value.errors[0].code == "wrong_type"


@pytest.mark.parametrize(
    ("content", "limits", "code"),
    [
        (daily_csv(50).encode(), Limits(file_bytes=100), "file_too_large"),
        (gzip.compress(f"{HEADER}\n".encode() + b"0" * 5_000_000), Limits(unpacked_bytes=100_000), "file_too_large"),
        (daily_csv(50).encode(), Limits(rows=10), "too_many_rows"),
        (parquet(date=["2024-01-02"] * 20, open=[1.0] * 20, high=[1.0] * 20, low=[1.0] * 20, close=[1.0] * 20),
         Limits(rows=10), "too_many_rows"),
    ],
    ids=["file", "bomb", "rows", "parquet rows"],
)  # fmt: skip
def test_what_is_too_large_is_stopped(content: bytes, limits: Limits, code: str, db: None, data_dir: Path) -> None:
    with pytest.raises(ImportRejected) as caught:
        services.bars_import_file(
            actor=Actor.system("tests"),
            file=io.BytesIO(content),
            filename="x",
            options=ImportOptions(symbols=("ACME",)),
            limits=limits,
        )
    assert [error.code for error in caught.value.errors] == [code]


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"source": "../up"}, "source"),
        ({"source": "sample"}, "source"),
        ({"source": "demo"}, "source"),
        ({"timeframe": "2d"}, "timeframe"),
        ({"clock": "stopped"}, "clock"),
        ({"tz": "Mars/Olympus"}, "tz"),
        ({"tz": "../etc/passwd"}, "tz"),
        ({"exchange": "XXXX"}, "exchange"),
        ({"currency": "dollars"}, "currency"),
        ({"symbols": ("ok/../no",)}, "symbols/0"),
        ({"mapping": {"bid": "Bid"}}, "mapping/bid"),
        ({"on_conflict": "merge"}, "on_conflict"),
        ({"adjust_from": "adj_close", "adjustment": "none"}, "adjustment"),
    ],
)
def test_options_that_make_no_sense_are_named(options: dict[str, Any], pointer: str, put: Put) -> None:
    with pytest.raises(ValidationFailed) as caught:
        put(daily_csv(2), **options)
    assert [error.pointer for error in caught.value.errors] == [pointer]
    assert not BarImport.objects.exists()


def test_a_source_keeps_its_clock_and_an_instrument_its_exchange(put: Put) -> None:
    put(daily_csv(3), clock="live")
    for options in ({"clock": "historical"}, {"exchange": "24/7"}):
        with pytest.raises(ImportRejected) as caught:
            put(daily_csv(4), **options)
        assert caught.value.errors[0].code == "contradiction"


def test_a_crash_while_writing_leaves_the_old_version_in_place(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put(daily_csv(5))

    def crash(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(store.os, "fsync", crash)
    with pytest.raises(OSError, match="disk full"):
        put(daily_csv(9))
    monkeypatch.undo()
    assert len(selectors.bars_load(symbol="ACME")) == 5
    assert BarSeries.objects.get().version == 1
    put(daily_csv(9))
    assert len(selectors.bars_load(symbol="ACME")) == 9
