"""Fixtures of the runs that the invariants are tried on."""

from tests.executions.conftest import instrument, trials

__all__ = ["instrument", "trials"]
