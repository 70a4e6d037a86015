"""How many queries a route needs: no more with more rows, and no more than was reviewed.

The reviewed numbers stand in `tests/snapshots/query_counts.json`; `UPDATE_SNAPSHOTS=1` writes them anew, and the diff
of that file is what a reviewer looks at.
"""

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

SNAPSHOT = Path(__file__).resolve().parents[1] / "snapshots" / "query_counts.json"


def query_count(call: Callable[[], Any]) -> tuple[int, list[str]]:
    """Return how many queries `call` makes, and which; savepoints are not counted."""
    with CaptureQueriesContext(connection) as captured:
        call()
    made = [query["sql"] for query in captured if "SAVEPOINT" not in query["sql"].upper()]
    return len(made), made


def assert_constant_queries(name: str, call: Callable[[], Any], grow: Callable[[], Any]) -> None:
    """Check that `call` needs as many queries after `grow` as before, and as many as were reviewed under `name`.

    Args:
        name: the route, such as `GET /runs`.
        call: one request that succeeds, on at least one row; made once beforehand so that caches are warm.
        grow: adds rows of the kind that `call` lists.
    """
    call()
    few, _ = query_count(call)
    grow()
    many, made = query_count(call)
    assert many == few, f"{name}: {few} queries for few rows, {many} for many:\n" + "\n".join(made)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        _write(name, many)
        return
    reviewed = json.loads(SNAPSHOT.read_text()).get(name)
    assert reviewed is not None, f"{name} has no reviewed number yet: UPDATE_SNAPSHOTS=1, then review {SNAPSHOT.name}"
    assert many == reviewed, f"{name}: {many} queries, {reviewed} were reviewed:\n" + "\n".join(made)


def _write(name: str, count: int) -> None:
    with SNAPSHOT.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        numbers = {**json.load(file), name: count}
        file.seek(0)
        file.truncate()
        json.dump(dict(sorted(numbers.items())), file, indent=2)
        file.write("\n")
