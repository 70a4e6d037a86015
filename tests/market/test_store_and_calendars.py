"""Files that are never overwritten, and sessions in summer time, winter time and on half days."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from market import selectors, store
from market.bars import from_ns, to_ns
from market.calendars import calendar
from market.errors import CalendarUnknown, SeriesFileMissing
from market.merging import merge
from market.models import BarImport, BarSeries
from market.prices import price_decimal
from market.timeframes import bar_ends, bars_per_year
from tests.market.conftest import daily_csv


def columns(count: int = 4, value: float = 1.0) -> dict[str, Any]:
    figures = {name: np.full(count, value) for name in ("open", "high", "low", "close", "volume")}
    return {"time": np.arange(count, dtype=np.int64), **figures}


def folder() -> Path:
    return store.series_folder(source="import", symbol="ACME", timeframe="1d", adjustment="none")


def test_what_is_written_is_read_back_to_the_bit() -> None:
    written = columns(5, 1 / 3)
    version = store.write_version(folder(), written, at_least=1)
    read = store.read_version(folder(), version)
    for name, column in written.items():
        np.testing.assert_array_equal(read[name], column)
    assert store.fingerprint(read) == store.fingerprint(written)


def test_a_version_is_never_overwritten() -> None:
    store.write_version(folder(), columns(value=1.0), at_least=1)
    assert store.write_version(folder(), columns(value=2.0), at_least=1) == 2
    assert store.read_version(folder(), 1)["close"][0] == 1.0


def test_writers_at_once_get_versions_of_their_own() -> None:
    start = threading.Barrier(8)

    def write(number: int) -> tuple[int, float]:
        start.wait()
        return store.write_version(folder(), columns(value=float(number)), at_least=1), float(number)

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(write, range(8)))
    assert sorted(version for version, _ in done) == list(range(1, 9))
    for version, value in done:
        assert store.read_version(folder(), version)["close"][0] == value


def test_a_writer_that_dies_leaves_no_version_and_its_rest_can_be_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store.os, "link", die)
        with pytest.raises(KeyboardInterrupt):
            store.write_version(folder(), columns(), at_least=1)
    assert not list(folder().iterdir())
    (folder() / ".writing-killed.tmp").write_bytes(b"half")
    assert store.remove_temporary(folder()) == 1
    assert store.write_version(folder(), columns(), at_least=1) == 1


def test_a_missing_or_broken_file_is_said_with_a_code() -> None:
    with pytest.raises(SeriesFileMissing):
        store.read_version(folder(), 7)
    folder().mkdir(parents=True)
    (folder() / "8.parquet").write_bytes(b"no parquet")
    with pytest.raises(SeriesFileMissing):
        store.read_version(folder(), 8)


@pytest.mark.parametrize(
    ("source", "symbol"), [("../x", "ACME"), ("import", "../../ETC"), ("import", "A/B"), ("", "A")]
)
def test_no_name_leads_out_of_the_store(source: str, symbol: str) -> None:
    with pytest.raises(ValueError, match="cannot name a series"):
        store.series_folder(source=source, symbol=symbol, timeframe="1d", adjustment="none")


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_imports_into_one_series_at_once_both_arrive(data_dir: Path) -> None:
    import io

    from market import services
    from market.options import ImportOptions
    from tradingsite.common.actor import Actor

    start = threading.Barrier(4)

    def one(number: int) -> BarImport:
        try:
            start.wait()
            return services.bars_import_file(
                actor=Actor.system("tests"),
                file=io.BytesIO(daily_csv(10, first=number * 10).encode()),
                filename=f"{number}.csv",
                options=ImportOptions(symbols=("ACME",)),
            )
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(one, range(4)))
    assert [record.report["added"] for record in done] == [10] * 4
    series = BarSeries.objects.get()
    assert (series.bars_count, series.version) == (40, 4)
    assert len(selectors.bars_load(symbol="ACME")) == 40


@given(
    old=st.dictionaries(st.integers(0, 20), st.floats(1, 9), max_size=15),
    new=st.dictionaries(st.integers(0, 20), st.floats(1, 9), min_size=1, max_size=15),
)
def test_a_merge_is_what_a_dictionary_would_do(old: dict[int, float], new: dict[int, float]) -> None:
    def table(rows: dict[int, float]) -> dict[str, Any]:
        times = sorted(rows)
        figures = np.array([rows[time] for time in times], dtype=np.float64)
        names = ("open", "high", "low", "close", "volume")
        return {"time": np.array(times, dtype=np.int64), **dict.fromkeys(names, figures)}

    merged = merge(table(old), table(new))
    expected = {**old, **new}
    assert merged.columns["time"].tolist() == sorted(expected)
    assert merged.columns["close"].tolist() == [expected[time] for time in sorted(expected)]
    assert merged.added == len(set(new) - set(old))
    assert merged.conflicts.tolist() == sorted(t for t in set(old) & set(new) if old[t] != new[t])
    assert merged.unchanged == sum(old[t] == new[t] for t in set(old) & set(new))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_sessions_follow_the_clocks_of_new_york() -> None:
    known = calendar("XNYS")
    assert known.session_open(date(2024, 3, 8)) == at("2024-03-08T14:30:00")
    assert known.session_open(date(2024, 3, 11)) == at("2024-03-11T13:30:00")
    assert known.session_open(date(2024, 11, 1)) == at("2024-11-01T13:30:00")
    assert known.session_open(date(2024, 11, 4)) == at("2024-11-04T14:30:00")


def test_half_days_close_early_and_holidays_do_not_open() -> None:
    known = calendar("XNYS")
    assert known.session_close(date(2024, 11, 29)) == at("2024-11-29T18:00:00")
    assert known.is_open(at("2024-11-29T17:59:59"))
    assert not known.is_open(at("2024-11-29T18:00:00"))
    assert not known.is_session(date(2024, 12, 25))
    with pytest.raises(ValueError, match="no session"):
        known.session_close(date(2024, 12, 25))
    assert known.next_open(at("2024-12-24T19:00:00")) == at("2024-12-26T14:30:00")
    assert known.next_close(at("2024-12-24T15:00:00")) == at("2024-12-24T18:00:00")


def test_a_midday_break_is_closed() -> None:
    known = calendar("XTKS")
    assert known.is_open(at("2024-01-10T02:00:00"))
    assert not known.is_open(at("2024-01-10T03:00:00"))
    assert known.is_open(at("2024-01-10T04:00:00"))


def test_around_the_clock_is_always_open() -> None:
    known = calendar("24/7")
    assert known.is_open(at("2024-12-25T03:00:00"))
    assert known.session_open(date(2024, 12, 25)) == at("2024-12-25T00:00:00")
    assert known.session_close(date(2024, 12, 25)) == at("2024-12-26T00:00:00")


def test_an_unknown_calendar_is_named() -> None:
    with pytest.raises(CalendarUnknown, match="XXXX"):
        calendar("XXXX")


def test_bars_end_with_their_session() -> None:
    known = calendar("XNYS")
    day = known.session_open(date(2024, 11, 29))
    times = np.array([to_ns(day)], dtype=np.int64)
    assert from_ns(int(bar_ends(times, "1d", known)[0])) == at("2024-11-29T18:00:00")
    last_hour = np.array([to_ns(day + timedelta(hours=3))], dtype=np.int64)
    assert from_ns(int(bar_ends(last_hour, "1h", known)[0])) == at("2024-11-29T18:00:00")
    assert from_ns(int(bar_ends(times, "15m", known)[0])) == at("2024-11-29T14:45:00")


def test_a_year_has_as_many_bars_as_the_rules_say() -> None:
    assert bars_per_year("1d", calendar("XNYS")) == 252
    assert bars_per_year("1d", calendar("24/7")) == 365
    assert bars_per_year("1h", calendar("XNYS")) == 252 * 7
    assert bars_per_year("1m", calendar("XNYS")) == 252 * 390


@given(st.datetimes(datetime(1975, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001  # made aware below
def test_moments_survive_nanoseconds(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    assert from_ns(to_ns(aware)) == aware


def test_prices_become_short_decimals() -> None:
    assert str(price_decimal(444.05)) == "444.05"
    assert str(price_decimal(1 / 3)) == "0.3333333333"
    with pytest.raises(ValueError, match="no price"):
        price_decimal(float("nan"))


def test_the_same_file_is_read_from_disk_once(put: Callable[..., BarImport], monkeypatch: pytest.MonkeyPatch) -> None:
    put(daily_csv(5))
    first = selectors.bars_load(symbol="ACME")
    monkeypatch.setattr(store, "_read", lambda path: pytest.fail(f"{path} was read again"))
    assert selectors.bars_load(symbol="ACME").close is first.close
