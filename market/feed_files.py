"""Reading a file of news or of fundamentals, CSV or JSON Lines, plain or gzipped: into rows, or into its faults by line.

Nothing here trusts the file: its size, what it unpacks to, its rows and its texts are all bounded.
"""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import IO, Any, cast

from market.problems import Problems
from market.store import SAFE_SYMBOL
from market.tables import Bounded, Limits, TooLarge
from tradingsite.common.clock import parse_rfc3339
from tradingsite.common.decimals import to_decimal
from tradingsite.common.errors import ValidationFailed

FEED_LIMITS = Limits(file_bytes=16 * 1024 * 1024, unpacked_bytes=64 * 1024 * 1024, rows=100_000)
MAX_LINE = 64 * 1024
MAX_BODY = 20_000
_METRIC = re.compile(r"[a-z][a-z0-9_]{0,39}")
# No database keeps these: NUL, and halves of characters.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_TOO_LARGE = "file_too_large"


class BadCell(Exception):
    """A cell that cannot be taken: `code` and `detail` say why."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(detail)


@dataclass(frozen=True)
class Column:
    """One column of a feed; `read` gets the cell's text and the wall time, and raises BadCell."""

    name: str
    read: Callable[[str, datetime], Any]
    required: bool = True


@dataclass(frozen=True)
class FeedRow:
    """One row as it is to be stored, with the line that it came from."""

    line: int
    values: Mapping[str, Any]


def _text(most: int) -> Callable[[str, datetime], str]:
    def read(cell: str, _: datetime) -> str:
        if _UNSTORABLE.search(cell):
            raise BadCell("not_text", "Must be text; this holds characters that are none.")
        if len(cell) > most:
            raise BadCell("too_long", f"Must have at most {most:,} characters; this has {len(cell):,}.")
        return cell

    return read


def _symbol(cell: str, _: datetime) -> str:
    if not SAFE_SYMBOL.fullmatch(cell):
        raise BadCell("invalid_symbol", f"{cell[:40]!r} is no symbol.")
    return cell


def _moment(cell: str, wall: datetime) -> datetime:
    try:
        moment = parse_rfc3339(cell)
    except (ValueError, OverflowError):
        detail = f"{cell[:40]!r} is no time with a UTC offset, such as 2026-03-02T13:30:00Z."
        raise BadCell("not_a_time", detail) from None
    if moment > wall:
        raise BadCell("in_the_future", f"{cell[:40]} lies in the future.")
    return moment


def _day(cell: str, _: datetime) -> date:
    try:
        return date.fromisoformat(cell)
    except ValueError:
        raise BadCell("not_a_date", f"{cell[:40]!r} is no date, such as 2025-12-31.") from None


def _metric(cell: str, _: datetime) -> str:
    if not _METRIC.fullmatch(cell):
        detail = f"{cell[:40]!r} is no metric: lower case letters, digits and underscores, such as revenue_growth."
        raise BadCell("invalid_metric", detail)
    return cell


def _value(cell: str, _: datetime) -> Any:
    try:
        return to_decimal(cell)
    except ValidationFailed as error:
        raise BadCell(error.errors[0].code, error.errors[0].detail) from None


NEWS = (
    Column("symbol", _symbol),
    Column("published_at", _moment),
    Column("source", _text(60)),
    Column("headline", _text(300)),
    Column("body", _text(MAX_BODY), required=False),
    Column("url", _text(500), required=False),
)
FUNDAMENTALS = (
    Column("symbol", _symbol),
    Column("metric", _metric),
    Column("as_of", _day),
    Column("published_at", _moment),
    Column("value", _value),
    Column("unit", _text(20), required=False),
    Column("source", _text(60), required=False),
)


def read_feed(
    file: IO[bytes], columns: tuple[Column, ...], *, wall: datetime, limits: Limits, problems: Problems
) -> list[FeedRow]:
    """Return the rows of `file` (seekable, at its start), each cell read; what cannot be read goes to `problems`."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(2)
    file.seek(0)
    if size == 0:
        problems.add(None, "", "empty_file", "The file is empty.")
        return []
    if size > limits.file_bytes:
        problems.add(None, "", _TOO_LARGE, f"The file has {size:,} bytes; {limits.file_bytes:,} are allowed.")
        return []
    raw = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if head == b"\x1f\x8b" else file
    text = io.TextIOWrapper(
        io.BufferedReader(Bounded(raw, limits.unpacked_bytes)), encoding="utf-8-sig", errors="strict", newline=""
    )
    rows: list[FeedRow] = []
    line = 0
    try:
        for line, cells in _rows(text, columns, problems):
            if len(rows) >= limits.rows:
                problems.add(line, "", "too_many_rows", f"At most {limits.rows:,} rows are allowed.")
                break
            values = _read(line, cells, columns, wall, problems)
            if values is not None:
                rows.append(FeedRow(line, values))
    except UnicodeDecodeError:
        problems.add(line + 1, "", "not_utf8", "The text is not UTF-8 here or soon after.")
    except csv.Error as error:
        problems.add(line + 1, "", "malformed_csv", f"This is no CSV: {error}.")
    except TooLarge:
        problems.add(None, "", _TOO_LARGE, f"The file unpacks to more than {limits.unpacked_bytes:,} bytes.")
    except (OSError, EOFError, zlib.error):
        problems.add(None, "", "malformed_gzip", "The file is a damaged or cut-off gzip archive.")
    if not rows and not problems:
        problems.add(None, "", "empty_file", "The file has no rows.")
    return rows


def _read(
    line: int, cells: Mapping[str, str], columns: tuple[Column, ...], wall: datetime, problems: Problems
) -> dict[str, Any] | None:
    values: dict[str, Any] = {}
    sound = True
    for column in columns:
        cell = cells.get(column.name, "").strip()
        if not cell and column.required:
            problems.add(line, column.name, "missing", f"There is no {column.name}.")
            sound = False
            continue
        try:
            values[column.name] = column.read(cell, wall)
        except BadCell as bad:
            problems.add(line, column.name, bad.code, bad.detail)
            sound = False
    return values if sound else None


def _rows(
    text: io.TextIOWrapper, columns: tuple[Column, ...], problems: Problems
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield (line, cells) of either form; which it is shows in the first line that is not blank."""
    number = 0
    while first := text.readline(MAX_LINE):
        number += 1
        if first.strip():
            break
    if first.lstrip().startswith("{"):
        yield from _json_rows(first, number, text, columns, problems)
    elif first:
        yield from _csv_rows(first, number, text, columns, problems)


def _csv_rows(
    first: str, number: int, text: io.TextIOWrapper, columns: tuple[Column, ...], problems: Problems
) -> Iterator[tuple[int, Mapping[str, str]]]:
    delimiter = max(",;\t|", key=first.count)
    header = [cell.strip().lower() for cell in next(csv.reader([first], delimiter=delimiter, strict=True))]
    if not _header_sound(header, number, columns, problems):
        return
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    line = number
    for row in reader:
        begun, line = line + 1, number + reader.line_num
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            detail = f"There are {len(row)} cells where the header has {len(header)}."
            problems.add(begun, "", "wrong_number_of_cells", detail)
            continue
        yield begun, dict(zip(header, row, strict=True))


def _header_sound(header: list[str], line: int, columns: tuple[Column, ...], problems: Problems) -> bool:
    known = {column.name for column in columns}
    before = problems.total
    for name in header:
        if name not in known:
            detail = f"There is no column {name[:40]!r}; there are {', '.join(c.name for c in columns)}."
            problems.add(line, name[:40], "unknown_column", detail)
        elif header.count(name) > 1:
            problems.add(line, name, "ambiguous_column", f"There is more than one column {name}.")
    for column in columns:
        if column.required and column.name not in header:
            problems.add(line, column.name, "missing_column", f"There is no column {column.name}.")
    return problems.total == before


def _json_rows(
    first: str, number: int, text: io.TextIOWrapper, columns: tuple[Column, ...], problems: Problems
) -> Iterator[tuple[int, Mapping[str, str]]]:
    known = {column.name for column in columns}
    line, raw = number, first
    while raw:
        if len(raw) >= MAX_LINE and not raw.endswith("\n"):
            problems.add(line, "", "line_too_long", f"A line has at most {MAX_LINE:,} characters.")
            return
        if raw.strip():
            cells = _object(raw, line, known, problems)
            if cells is not None:
                yield line, cells
        line, raw = line + 1, text.readline(MAX_LINE)


def _object(raw: str, line: int, known: set[str], problems: Problems) -> Mapping[str, str] | None:
    try:
        # Numbers stay as they are written: a float would round them.
        found = json.loads(raw, parse_float=_Written, parse_int=_Written, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        problems.add(line, "", "malformed_json", "This line is no JSON object.")
        return None
    if not isinstance(found, _Pairs):
        problems.add(line, "", "malformed_json", "This line is no JSON object.")
        return None
    cells: dict[str, str] = {}
    for name, value in found:
        if name not in known:
            problems.add(line, name[:40], "unknown_column", f"There is no column {name[:40]!r}.")
        elif name in cells:
            problems.add(line, name, "ambiguous_column", f"There is more than one {name}.")
        elif value is not None and not isinstance(value, str):
            problems.add(line, name, "wrong_type", "Must be text or a number.")
        else:
            cells[name] = value or ""
    return cells


class _Written(str):
    """A number of JSON as it is written."""

    __slots__ = ()


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON with every name as often as it stands there."""
