"""The bar store: one immutable Parquet file for each version of a series.

A version is written to a temporary file, forced to disk and then linked to its name, which fails when the name is
taken: no file is ever overwritten or seen half written. A file that no row points to (its transaction was rolled
back) is harmless; the next version takes the next free number.
"""

import contextlib
import hashlib
import os
import re
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings
from numpy.typing import NDArray

from market.bars import COLUMNS
from market.errors import SeriesFileMissing

SAFE_SOURCE = re.compile(r"[a-z][a-z0-9_-]{0,39}")
SAFE_SYMBOL = re.compile(r"[A-Z][A-Z0-9.\-]{0,14}")
CACHE_BYTES = 128 * 1024 * 1024

_SCHEMA = pa.schema(
    [pa.field(name, pa.int64() if name == "time" else pa.float64(), nullable=False) for name in COLUMNS]
)

Columns = dict[str, NDArray[Any]]


def series_folder(*, source: str, symbol: str, timeframe: str, adjustment: str) -> Path:
    """Return the folder of a series' versions.

    Raises:
        ValueError: for a name that could lead out of the store.
    """
    if not SAFE_SOURCE.fullmatch(source) or not SAFE_SYMBOL.fullmatch(symbol):
        raise ValueError(f"{source!r} and {symbol!r} cannot name a series")
    return Path(settings.DATA_DIR) / "bars" / source / symbol / f"{timeframe}-{adjustment}"


def fingerprint(columns: Columns) -> str:
    """Return the SHA-256 of the bars themselves, whatever the file format around them."""
    digest = hashlib.sha256()
    for name in COLUMNS:
        digest.update(np.ascontiguousarray(columns[name]).tobytes())
    return digest.hexdigest()


def write_version(folder: Path, columns: Columns, *, at_least: int) -> int:
    """Write `columns` as a new version numbered `at_least` or the next free number, and return that number."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table([pa.array(columns[name]) for name in COLUMNS], schema=_SCHEMA)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".writing-", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # Plain and uncompressed: a read is a copy of bytes, which is what the hot path wants.
            pq.write_table(
                table,
                file,
                compression="NONE",
                use_dictionary=False,
                write_statistics=False,
                row_group_size=max(1, len(table)),
            )
            file.flush()
            os.fsync(file.fileno())
        version = at_least
        while True:
            try:
                os.link(temporary, folder / f"{version}.parquet")
                break
            except FileExistsError:
                version += 1
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(folder)
    return version


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporary(folder: Path) -> int:
    """Remove what a crashed writer left in `folder` and return how many files that were."""
    left = list(folder.glob(".writing-*.tmp"))
    for path in left:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    return len(left)


def read_version(folder: Path, version: int) -> Columns:
    """Return the arrays of one version, read-only and shared: never change them.

    Raises:
        SeriesFileMissing: when the file is not there or is no bar file.
    """
    path = str(folder / f"{version}.parquet")
    cached = _cache.get(path)
    if cached is not None:
        return cached
    columns = _read(path)
    _cache.put(path, columns)
    return columns


def _read(path: str) -> Columns:
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            table = file.read(columns=list(COLUMNS), use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise SeriesFileMissing(f"{path} cannot be read: {error}. Import the series again.") from error
    columns: Columns = {}
    for name in COLUMNS:
        column = table.column(name)
        array = column.chunk(0).to_numpy() if column.num_chunks == 1 else column.to_numpy()
        array.flags.writeable = False
        columns[name] = array
    return columns


class _Cache:
    """The last files read, up to CACHE_BYTES. Files are immutable, so an entry is never stale."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, Columns] = OrderedDict()
        self._bytes = 0

    def get(self, path: str) -> Columns | None:
        with self._lock:
            columns = self._entries.get(path)
            if columns is not None:
                self._entries.move_to_end(path)
            return columns

    def put(self, path: str, columns: Columns) -> None:
        with self._lock:
            if path in self._entries:
                return
            self._entries[path] = columns
            self._bytes += _size(columns)
            while self._bytes > CACHE_BYTES and len(self._entries) > 1:
                _, dropped = self._entries.popitem(last=False)
                self._bytes -= _size(dropped)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._bytes = 0


def _size(columns: Columns) -> int:
    return sum(int(array.nbytes) for array in columns.values())


_cache = _Cache()


def cache_clear() -> None:
    """Forget the files read so far; the next read of each goes to disk."""
    _cache.clear()
