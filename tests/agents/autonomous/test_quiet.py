"""Quiet hours by the wall clock of a zone, over its leaps too."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agents.autonomous.quiet import quiet_window, window_words

NIGHTS = {
    "timezone": "America/New_York",
    "windows": [{"weekdays": ["sat", "sun"], "from": "22:00", "to": "06:00"}],
}


def at(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York"), fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("moment", "quiet"),
    [
        (at("2026-01-03T21:59"), False),  # a Saturday
        (at("2026-01-03T22:00"), True),
        (at("2026-01-04T05:59"), True),
        (at("2026-01-04T06:00"), False),
        (at("2026-01-05T05:59"), True),  # Monday's morning belongs to Sunday's night
        (at("2026-01-05T22:30"), False),
        # The clocks leap from 02:00 to 03:00 in the night to 8 March, and back in the night to 1 November.
        (at("2026-03-08T03:00"), True),
        (at("2026-03-08T06:00"), False),
        (at("2026-11-01T01:30", fold=0), True),
        (at("2026-11-01T01:30", fold=1), True),
    ],
)
def test_a_night_goes_on_into_the_next_morning_and_ends_by_the_wall_clock(moment: datetime, quiet: bool) -> None:
    assert (quiet_window(NIGHTS, moment) is not None) is quiet


@pytest.mark.parametrize(("day", "hours"), [("2026-03-07", 7), ("2026-10-31", 9), ("2026-01-03", 8)])
def test_a_night_is_an_hour_shorter_or_longer_when_the_clocks_leap(day: str, hours: int) -> None:
    begins = at(f"{day}T12:00")
    minutes = sum(quiet_window(NIGHTS, begins + timedelta(minutes=n)) is not None for n in range(24 * 60))
    assert minutes == hours * 60


def test_equal_ends_are_a_whole_day() -> None:
    whole: dict[str, Any] = {"timezone": "UTC", "windows": [{"weekdays": ["mon"], "from": "08:00", "to": "08:00"}]}
    monday = datetime(2026, 1, 5, 8, tzinfo=UTC)
    assert quiet_window(whole, monday - timedelta(minutes=1)) is None
    assert quiet_window(whole, monday) is not None
    assert quiet_window(whole, monday + timedelta(hours=23, minutes=59)) is not None
    assert quiet_window(whole, monday + timedelta(hours=24)) is None
    assert window_words(whole, whole["windows"][0]) == "from 08:00 to 08:00 on mon (UTC)"


def test_without_quiet_hours_no_moment_is_quiet() -> None:
    assert quiet_window(None, datetime(2026, 1, 5, tzinfo=UTC)) is None
