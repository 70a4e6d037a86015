"""The whole table of a search as one file, put together from the tables of its chunks, one in memory at a time."""

import csv
import io
from collections.abc import Iterator
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from optimize.selectors import results_of

# What the names of columns begin with that only the verdict is made of.
INNER = "_"
_PARQUET = b"PAR1"
SLICE = 5_000


def stored(table: pa.RecordBatch) -> bytes:
    """Return a table as its chunk's row keeps it: Arrow's stream, compressed as one.

    Parquet, which encodes each column by itself, takes longer over the hundred columns of a few rows than the search did.
    """
    out = pa.BufferOutputStream()
    # The small level costs least, and random figures have no repeats to make use of.
    with pa.CompressedOutputStream(out, "zstd") as packing, pa.ipc.new_stream(packing, table.schema) as writer:
        writer.write_batch(table)
    content: bytes = out.getvalue().to_pybytes()
    return content


def read(content: bytes) -> pa.Table:
    """Return a table that was `stored`, or written as Parquet by an earlier version."""
    if content.startswith(_PARQUET):
        return pq.read_table(io.BytesIO(content), use_threads=False)
    with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as unpacking:
        return pa.ipc.open_stream(unpacking).read_all()


class _Pieces(io.RawIOBase):
    """A file that is only written to, whose bytes are handed on instead of kept."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, content: object) -> int:
        data = bytes(content)  # type: ignore[call-overload]
        self._waiting.append(data)
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def taken(self) -> bytes:
        content = b"".join(self._waiting)
        self._waiting.clear()
        return content


def tables(job_id: UUID) -> Iterator[pa.Table]:
    """Yield the tables of a job's chunks in order, without inner columns and the parameters first."""
    for _, _, content in results_of(job_id):
        table = read(content)
        shown = [name for name in table.column_names if not name.startswith(INNER)]
        yield table.select(sorted(shown, key=lambda name: (name != "number", not name.startswith("param_"))))


def parquet(job_id: UUID) -> Iterator[bytes]:
    """Yield the table as a Parquet file in pieces."""
    out, writer = _Pieces(), None
    for table in tables(job_id):
        if writer is None:
            writer = pq.ParquetWriter(pa.PythonFile(out, mode="w"), table.schema, compression="zstd")
        writer.write_table(table.cast(writer.schema))
        yield out.taken()
    if writer is not None:
        writer.close()
        yield out.taken()


def lines(job_id: UUID) -> Iterator[bytes]:
    """Yield the table as CSV in pieces; what is not known is empty."""
    first = True
    for table in tables(job_id):
        for batch in table.to_batches(max_chunksize=SLICE):
            text = io.StringIO()
            writer = csv.writer(text)
            if first:
                writer.writerow(batch.schema.names)
                first = False
            columns = [_cells(column) for column in batch.columns]
            writer.writerows(zip(*columns, strict=True))
            yield text.getvalue().encode()


def _cells(column: pa.Array) -> list[object]:
    return ["" if value is None or value != value else value for value in column.to_pylist()]
