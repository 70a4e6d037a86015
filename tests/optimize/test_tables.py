"""The table of a chunk comes back as it was packed, whoever packed it and however."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from optimize.walkforward.chunks import Columns, packed, unpacked, unpacked_notes

COLUMNS: Columns = {
    "number": np.arange(3),
    "oos_sharpe": np.array([0.1, np.nan, -1e-300]),
    "ruined": np.array([True, False, False]),
    "param_kind": np.array(["fast", "slow", "fast"]),
    "_hash": np.array([1, 2**64 - 1, 3], dtype=np.uint64),
}


def assert_equal(found: Columns) -> None:
    assert list(found) == list(COLUMNS)
    for name, values in COLUMNS.items():
        assert found[name].tolist() == values.tolist() or np.array_equal(found[name], values, equal_nan=True)


def test_a_table_comes_back_with_its_notes_in_the_process_that_packed_it_and_in_another() -> None:
    content = packed(COLUMNS, notes="[1, 2]")
    assert_equal(unpacked(content))
    elsewhere = bytes(bytearray(content))
    assert_equal(unpacked(elsewhere))
    assert unpacked_notes(elsewhere) == "[1, 2]"


def test_what_was_packed_last_is_not_taken_for_another_table() -> None:
    first = packed(COLUMNS)
    packed({"number": np.arange(7)})
    assert_equal(unpacked(first))


def test_a_table_that_an_earlier_version_wrote_as_parquet_is_read() -> None:
    out = io.BytesIO()
    table = pa.table({name: pa.array(values) for name, values in COLUMNS.items()})
    pq.write_table(table.replace_schema_metadata({b"notes": b"[3]"}), out, compression="zstd", use_dictionary=False)
    assert_equal(unpacked(out.getvalue()))
    assert unpacked_notes(out.getvalue()) == "[3]"
