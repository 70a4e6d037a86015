"""One desk for all scenarios of a run; the fixtures of the runs that the invariants are tried on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executions.conftest import instrument, trials
from tests.faults.cluster import Cluster, cluster_at
from tests.faults.sizes import LONG

__all__ = ["cluster", "instrument", "trials"]

# Five deaths of a worker take a minute; `make test-faults` has it.
collect_ignore = [] if LONG else ["test_thorough.py"]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_at(Path(tmp_path_factory.mktemp("faults"))) as found:
        yield found
