"""When the agent keeps still. Plain data in, plain data out.

`{"timezone": "America/New_York", "windows": [{"weekdays": ["mon", "tue"], "from": "22:00", "to": "06:00"}]}`: wall
time of the zone. A window that ends at or before its beginning goes on into the next day and belongs to the day on
which it begins; equal ends are a whole day. A moment has one wall time, so the leaps of a zone need no rule of their
own: an hour that comes twice is quiet twice, one that is left out is never.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def known_zone(name: str) -> bool:
    """Say whether there is a time zone of this name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def quiet_window(quiet: Mapping[str, Any] | None, moment: datetime) -> Mapping[str, Any] | None:
    """Return the window that `moment` (aware) lies in, or None."""
    if not quiet:
        return None
    wall = moment.astimezone(ZoneInfo(quiet["timezone"]))
    clock = wall.strftime("%H:%M")
    today, yesterday = WEEKDAYS[wall.weekday()], WEEKDAYS[(wall.date() - timedelta(days=1)).weekday()]
    for window in quiet["windows"]:
        begins, ends, days = window["from"], window["to"], window["weekdays"]
        over_night = ends <= begins
        if today in days and begins <= clock and (over_night or clock < ends):
            return dict(window)
        if over_night and yesterday in days and clock < ends:
            return dict(window)
    return None


def window_words(quiet: Mapping[str, Any], window: Mapping[str, Any]) -> str:
    """Say a window in words: `from 22:00 to 06:00 on mon, tue (America/New_York)`."""
    return f"from {window['from']} to {window['to']} on {', '.join(window['weekdays'])} ({quiet['timezone']})"
