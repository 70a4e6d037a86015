"""From an uploaded file to rows of raw cells with line numbers: CSV, gzipped CSV or Parquet, by content, not by name.

Nothing here trusts the file: its size, what it unpacks to, its rows, its encoding and its types are all bounded.
"""

import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from market.problems import Problems

LOGICAL = ("time", "open", "high", "low", "close", "volume", "adj_close", "symbol")
REQUIRED = ("time", "open", "high", "low", "close")
_ALIASES: dict[str, tuple[str, ...]] = {
    "time": ("time", "date", "datetime", "timestamp", "ts", "opentime", "t"),
    "open": ("open", "openprice", "o"),
    "high": ("high", "highprice", "h"),
    "low": ("low", "lowprice", "l"),
    "close": ("close", "closeprice", "c"),
    "volume": ("volume", "vol", "v"),
    "adj_close": ("adjclose", "adjustedclose", "adjcloseprice"),
    "symbol": ("symbol", "ticker"),
}


@dataclass(frozen=True)
class Limits:
    file_bytes: int = 64 * 1024 * 1024
    unpacked_bytes: int = 256 * 1024 * 1024
    rows: int = 2_000_000


@dataclass
class Table:
    """Raw cells by logical column: text for CSV, Python values for Parquet. `lines` numbers each row."""

    lines: list[int] = field(default_factory=list)
    cells: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)


class TooLarge(Exception):
    """The file unpacks to more than is allowed."""


class Bounded(io.RawIOBase):
    """A reader that stops a decompression bomb while it unpacks, not after."""

    def __init__(self, raw: IO[bytes], limit: int) -> None:
        self._raw = raw
        self._left = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge
        buffer[: len(data)] = data
        return len(data)


def read_table(file: IO[bytes], *, mapping: Mapping[str, str], limits: Limits, problems: Problems) -> Table:
    """Read `file` (seekable, at its start); what cannot be read goes to `problems`.

    Args:
        mapping: logical column -> header in the file, for headers that are not recognised by themselves.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    if size == 0:
        problems.add(None, "", "empty_file", "The file is empty.")
    elif size > limits.file_bytes:
        problems.add(None, "", "file_too_large", f"The file has {size:,} bytes; {limits.file_bytes:,} are allowed.")
    elif head == b"PAR1":
        return _read_parquet(file, mapping, limits, problems)
    elif head[:2] == b"PK":
        problems.add(None, "", "unsupported_format", "This is a ZIP archive: send CSV, gzipped CSV or Parquet.")
    else:
        raw = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if head[:2] == b"\x1f\x8b" else file
        return _read_csv(raw, mapping, limits, problems)
    return Table()


def _read_csv(raw: IO[bytes], mapping: Mapping[str, str], limits: Limits, problems: Problems) -> Table:
    bounded = io.BufferedReader(Bounded(raw, limits.unpacked_bytes))
    text = io.TextIOWrapper(bounded, encoding="utf-8-sig", newline="")
    table, line = Table(), 0
    try:
        lead = _lead(text)
        delimiter = max(",;\t|", key=lead[-1].count) if lead else ","
        reader = csv.reader(itertools.chain(lead, text), delimiter=delimiter, strict=True)
        for header in reader:
            if any(cell.strip() for cell in header):
                break
        else:
            problems.add(None, "", "empty_file", "The file has no header line.")
            return table
        columns = _match(header, mapping, reader.line_num, problems)
        if columns is None:
            return table
        table.cells = {name: [] for name in columns}
        line = reader.line_num
        for row in reader:
            first, line = line + 1, reader.line_num
            if not row or not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                detail = f"There are {len(row)} cells where the header has {len(header)}."
                problems.add(first, "", "wrong_number_of_cells", detail)
                continue
            if len(table.lines) >= limits.rows:
                problems.add(first, "", "too_many_rows", f"At most {limits.rows:,} rows are allowed.")
                break
            table.lines.append(first)
            for name, index in columns.items():
                table.cells[name].append(row[index].strip())
    except UnicodeDecodeError:
        problems.add(line + 1, "", "not_utf8", "The text is not UTF-8 here or soon after.")
    except csv.Error as error:
        problems.add(line + 1, "", "malformed_csv", f"This is no CSV: {error}.")
    except TooLarge:
        problems.add(None, "", "file_too_large", f"The file unpacks to more than {limits.unpacked_bytes:,} bytes.")
    except (OSError, EOFError, zlib.error):
        problems.add(None, "", "malformed_gzip", "The file is a damaged or cut-off gzip archive.")
    return table


def _lead(text: io.TextIOWrapper) -> list[str]:
    """Return the lines up to the first that is not blank, which is the header."""
    lines: list[str] = []
    for line in text:
        lines.append(line)
        if line.strip():
            break
    return lines


def _normal(header: str) -> str:
    return re.sub(r"[^a-z0-9]", "", header.lower())


def _match(header: Sequence[str], mapping: Mapping[str, str], line: int, problems: Problems) -> dict[str, int] | None:
    """Return logical column -> index in `header`, or None with the reasons in `problems`."""
    found: dict[str, int] = {}
    before = problems.total
    named = [cell.strip() for cell in header]
    for name, wanted in mapping.items():
        places = [index for index, cell in enumerate(named) if cell.lower() == wanted.strip().lower()]
        if len(places) != 1:
            reason = "no column" if not places else "more than one column"
            problems.add(
                line, name, "missing_column", f"There is {reason} {wanted!r} for {name}; there are {_list(named)}."
            )
        else:
            found[name] = places[0]
    taken = set(found.values())
    for name in LOGICAL:
        if name in mapping:
            continue
        places = [i for i, cell in enumerate(named) if i not in taken and _normal(cell) in _ALIASES[name]]
        if len(places) > 1:
            which = _list([named[i] for i in places])
            problems.add(line, name, "ambiguous_column", f"{which} could each be the {name}: say which in the mapping.")
        elif places:
            found[name] = places[0]
        elif name in REQUIRED:
            problems.add(line, name, "missing_column", f"There is no column for {name}; there are {_list(named)}.")
    return found if problems.total == before else None


def _list(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:20])


def _read_parquet(file: IO[bytes], mapping: Mapping[str, str], limits: Limits, problems: Problems) -> Table:
    table = Table()
    try:
        # Text stays dictionary-encoded: spelt out, a few kilobytes could become gigabytes.
        schema = pq.read_schema(file)
        file.seek(0)
        texts = [name for name in schema.names if pa.types.is_string(schema.field(name).type)]
        parquet = pq.ParquetFile(file, read_dictionary=texts)
        rows = parquet.metadata.num_rows
        if rows > limits.rows:
            problems.add(None, "", "too_many_rows", f"The file has {rows:,} rows; {limits.rows:,} are allowed.")
            return table
        columns = _match(schema.names, mapping, 1, problems)
        if columns is None:
            return table
        for name, index in columns.items():
            kind = schema.field(index).type
            if not _readable(name, kind):
                problems.add(None, name, "wrong_type", f"Column {schema.names[index]!r} has the type {kind}.")
        if problems:
            return table
        table.cells = {name: [] for name in columns}
        unpacked = 0
        for batch in parquet.iter_batches(batch_size=65_536, columns=[schema.names[i] for i in columns.values()]):
            unpacked += batch.nbytes
            if unpacked > limits.unpacked_bytes:
                problems.add(
                    None, "", "file_too_large", f"The file unpacks to more than {limits.unpacked_bytes:,} bytes."
                )
                return Table()
            for name, index in columns.items():
                table.cells[name].extend(_values(batch.column(schema.names[index])))
        table.lines = list(range(1, len(next(iter(table.cells.values()))) + 1))
    except (OSError, pa.ArrowException, ValueError) as error:
        problems.add(None, "", "malformed_parquet", f"This is no readable Parquet file: {str(error)[:200]}")
        return Table()
    return table


def _readable(name: str, kind: pa.DataType) -> bool:
    types = pa.types
    if name == "symbol":
        return bool(types.is_string(kind) or types.is_dictionary(kind))
    if name == "time":
        return bool(types.is_timestamp(kind) or types.is_date(kind) or types.is_string(kind) or types.is_integer(kind))
    return bool(types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind) or types.is_null(kind))


def _values(column: pa.Array) -> Iterator[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        # Bars open on whole seconds; nanoseconds would come back as another type.
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return iter(column.to_pylist())
