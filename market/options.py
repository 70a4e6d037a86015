"""How a file is to be read: the options of an import, the same for the API, the admin and the command."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from market.calendars import calendar
from market.choices import Adjustment, OnConflict, SourceClock, Timeframe
from market.errors import CalendarUnknown
from market.store import SAFE_SOURCE, SAFE_SYMBOL
from market.tables import LOGICAL
from tradingsite.common.errors import FieldError, ValidationFailed

MOST_SYMBOLS = 1000


@dataclass(frozen=True)
class ImportOptions:
    """How to read a file and where to put its bars.

    Attributes:
        source: slug of the data source that the bars go to; made when there is none yet.
        clock: whether that source is `live` or `historical`; None keeps what it is, `historical` for a new one.
        adjustment: what the prices are adjusted for; None is `none`, or `split_dividend` with `adjust_from`.
        adjust_from: `adj_close` multiplies the prices by adjusted close / close.
        exchange, currency: of instruments that are new; XNYS and USD when None.
        symbols: take only these; names the symbol of a file without a symbol column.
        mapping: logical column (time, open, high, low, close, volume, adj_close, symbol) -> header in the file.
        tz: IANA zone of times without an offset.
        date_format: `strptime` format of times that are not ISO 8601.
        on_conflict: what to do with a bar that is there already with other figures.
    """

    source: str = "import"
    clock: str | None = None
    timeframe: str = Timeframe.D1.value
    adjustment: str | None = None
    adjust_from: str | None = None
    exchange: str | None = None
    currency: str | None = None
    symbols: tuple[str, ...] = ()
    mapping: Mapping[str, str] = field(default_factory=dict)
    tz: str | None = None
    date_format: str | None = None
    on_conflict: str = OnConflict.ERROR.value

    @property
    def stored_adjustment(self) -> str:
        if self.adjustment is not None:
            return self.adjustment
        return Adjustment.SPLIT_DIVIDEND.value if self.adjust_from else Adjustment.NONE.value

    @property
    def zone(self) -> ZoneInfo | None:
        return ZoneInfo(self.tz) if self.tz else None

    def as_json(self) -> dict[str, Any]:
        given = asdict(self)
        given["mapping"] = dict(self.mapping)
        return {name: value for name, value in given.items() if value not in (None, (), {})}

    def check(self, reserved: frozenset[str]) -> None:
        """Refuse options that make no sense.

        Args:
            reserved: slugs of sources that files may not be put into.

        Raises:
            ValidationFailed: naming each wrong option.
        """
        errors: list[FieldError] = []

        def wrong(name: str, code: str, detail: str) -> None:
            errors.append(FieldError(name, code, detail))

        if not SAFE_SOURCE.fullmatch(self.source):
            wrong("source", "invalid", "Must be lower-case letters, digits, dashes or underscores, at most 40.")
        elif self.source in reserved:
            wrong("source", "reserved", f"{self.source!r} has bars of its own; name another source for files.")
        for name, value, choices in (
            ("clock", self.clock, SourceClock.values),
            ("timeframe", self.timeframe, Timeframe.values),
            ("adjustment", self.adjustment, Adjustment.values),
            ("adjust_from", self.adjust_from, ["adj_close"]),
            ("on_conflict", self.on_conflict, OnConflict.values),
        ):
            if value is not None and value not in choices:
                wrong(name, "invalid_choice", f"Must be one of {', '.join(choices)}.")
        if self.adjust_from and self.adjustment == Adjustment.NONE:
            wrong("adjustment", "contradiction", "With adjust_from the prices are adjusted, so this cannot be none.")
        if self.exchange is not None:
            try:
                calendar(self.exchange)
            except CalendarUnknown as error:
                wrong("exchange", "invalid_choice", error.detail)
        if self.currency is not None and not re.fullmatch(r"[A-Z]{3}", self.currency):
            wrong("currency", "invalid", "Must be three capital letters.")
        if len(self.symbols) > MOST_SYMBOLS:
            wrong("symbols", "too_many", f"At most {MOST_SYMBOLS} symbols at once.")
        for index, symbol in enumerate(self.symbols):
            if not SAFE_SYMBOL.fullmatch(symbol):
                wrong(f"symbols/{index}", "invalid_symbol", f"{symbol[:40]!r} is no symbol.")
        for name in self.mapping:
            if name not in LOGICAL:
                wrong(f"mapping/{name}", "invalid_choice", f"The desk's columns are {', '.join(LOGICAL)}.")
        if self.tz is not None and not _is_zone(self.tz):
            wrong("tz", "invalid_choice", f"{self.tz!r} is no time zone; America/New_York and UTC are some.")
        if errors:
            raise ValidationFailed(errors=errors)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
