"""Runs of trial steps, as in the tests of executions."""

from collections.abc import Callable

import pytest

from executions.models import WorkflowExecution
from tests.executions.conftest import Trials, instrument, trials

__all__ = ["instrument", "trials"]


@pytest.fixture
def make_run(trials: Trials) -> Callable[..., WorkflowExecution]:
    return trials.create
