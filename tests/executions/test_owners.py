"""Who may end a run or send it on again: the services ask, whatever door the wish came through."""

from collections.abc import Callable

import pytest

from executions.choices import ExecutionStatus
from executions.errors import ExecutionFinished
from executions.models import WorkflowExecution
from executions.services import execution_cancel, execution_retry, task_cancel
from tests.executions.conftest import Trials
from tradingsite.common.actor import Actor
from tradingsite.common.errors import PermissionDenied
from tradingsite.common.roles import Role

pytestmark = pytest.mark.django_db

OTHER = Actor(kind="user", name="other", user_id=987_654, role=Role.TRADER)
OPERATOR = Actor(kind="user", name="operator", user_id=987_655, role=Role.OPERATOR)
WISHES: dict[str, Callable[[Actor, WorkflowExecution], object]] = {
    "cancel": lambda actor, run: execution_cancel(actor=actor, execution=run),
    "task cancel": lambda actor, run: task_cancel(actor=actor, task_id=run.task_id),
    "retry": lambda actor, run: execution_retry(actor=actor, execution=run),
}


def wished(trials: Trials, wish: str) -> WorkflowExecution:
    """Return a run of which the wish may be had."""
    run = trials.create("one")
    return execution_cancel(actor=trials.actor, execution=run) if wish == "retry" else run


@pytest.mark.parametrize("wish", WISHES)
def test_another_traders_run_is_refused_and_stays_as_it_was(trials: Trials, wish: str) -> None:
    run = wished(trials, wish)
    before = WorkflowExecution.objects.filter(pk=run.pk).values().get()
    with pytest.raises(PermissionDenied):
        WISHES[wish](OTHER, run)
    assert WorkflowExecution.objects.filter(pk=run.pk).values().get() == before


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("who", ["operator", "system"])
def test_an_operator_and_the_desk_may(trials: Trials, wish: str, who: str) -> None:
    run = wished(trials, wish)
    WISHES[wish](OPERATOR if who == "operator" else Actor.system("clock"), run)
    wanted = ExecutionStatus.PENDING if wish == "retry" else ExecutionStatus.CANCELLED
    assert trials.again(run).status == wanted


def test_of_an_earlier_task_only_its_owner_hears_that_it_has_ended(trials: Trials) -> None:
    run = execution_cancel(actor=trials.actor, execution=trials.create("one"))
    earlier = run.task_id
    execution_retry(actor=trials.actor, execution=run)
    with pytest.raises(PermissionDenied):
        task_cancel(actor=OTHER, task_id=earlier)
    with pytest.raises(ExecutionFinished):
        task_cancel(actor=trials.actor, task_id=earlier)
