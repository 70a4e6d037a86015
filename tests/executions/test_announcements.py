"""The end of each run is told once, in the words of its event type, and costs nothing when nobody listens."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from executions import announcements, endings, services
from executions.models import RunEnding
from tests.executions.conftest import Trials
from tests.support.webhooks import maker
from tradingsite.common.clock import rfc3339
from tradingsite.common.contracts.steps import StepContext, StepError, StepResult
from tradingsite.common.models import OutboxMessage
from tradingsite.common.webhooks.event_types import event_types
from tradingsite.common.webhooks.models import Webhook, WebhookDelivery

pytestmark = pytest.mark.django_db


@pytest.fixture
def webhook(trials: Trials, settings: Any) -> Webhook:
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    return maker(trials.actor)("http://127.0.0.1:9/", event_types=["run.completed", "run.failed", "run.cancelled"])[0]


def told() -> list[dict[str, Any]]:
    """Return each event, having seen that its data has the members of the example."""
    found = [json.loads(body) for body in WebhookDelivery.objects.order_by("id").values_list("body", flat=True)]
    for event in found:
        assert set(event["data"]) == set(event_types.get(event["type"]).example)
    return found


def breaks(context: StepContext) -> StepResult:
    raise StepError("broken", code="BROKEN")


def test_each_kind_of_end_is_told_with_the_figures_of_the_run(trials: Trials, webhook: Webhook) -> None:
    trials.acts["bad"] = breaks
    done = trials.carry(trials.create("one"))
    failed = trials.carry(trials.create("bad"))
    cancelled = trials.create("one")
    services.execution_cancel(actor=trials.actor, execution=cancelled)
    assert told() == [], "the run's own transaction writes no delivery"
    endings.settle()
    by_type = {event["type"]: event["data"] for event in told()}
    assert {name: data["run_id"] for name, data in by_type.items()} == {
        "run.completed": str(done.pk),
        "run.failed": str(failed.pk),
        "run.cancelled": str(cancelled.pk),
    }
    completed = by_type["run.completed"]
    assert completed["workflow_name"] == done.workflow.name if done.workflow else None
    assert done.started_at is not None
    assert done.completed_at is not None
    assert (completed["started_at"], completed["completed_at"]) == (
        rfc3339(done.started_at),
        rfc3339(done.completed_at),
    )
    assert completed["duration"] == pytest.approx(done.duration)
    assert (by_type["run.failed"]["error_code"], by_type["run.failed"]["status"]) == ("BROKEN", "failed")
    assert by_type["run.cancelled"]["duration"] is None
    endings.settle()
    assert len(told()) == 3


def test_a_run_that_was_retried_before_it_was_told_of_is_told_of_as_it_ended(trials: Trials, webhook: Webhook) -> None:
    trials.acts["bad"] = breaks
    run = trials.carry(trials.create("bad"))
    first_task = run.task_id
    services.execution_retry(actor=trials.actor, execution=run)
    trials.acts.clear()
    again = trials.carry(run)
    endings.settle()
    first, second = told()
    assert (first["type"], first["data"]["task_id"], first["data"]["error_code"]) == (
        "run.failed",
        first_task,
        "BROKEN",
    )
    assert first["data"]["decisions_made"] is None
    assert (second["type"], second["data"]["task_id"]) == ("run.completed", again.task_id)
    assert second["data"]["error_code"] == ""


def test_many_ends_are_written_together(trials: Trials, webhook: Webhook) -> None:
    def queries(count: int) -> int:
        for _ in range(count):
            trials.carry(trials.create("one"))
        OutboxMessage.objects.all().delete()
        batch = list(RunEnding.objects.all())
        with CaptureQueriesContext(connection) as captured:
            announcements.announce(batch)
        RunEnding.objects.all().delete()
        assert OutboxMessage.objects.count() == 1
        return len(captured)

    assert queries(1) == queries(4)
    assert WebhookDelivery.objects.count() == 5


def test_with_nobody_to_tell_no_run_is_read(trials: Trials) -> None:
    trials.carry(trials.create("one"))
    batch = list(RunEnding.objects.all())
    assert len(batch) == 1
    with CaptureQueriesContext(connection) as captured:
        announcements.announce(batch)
    assert len(captured) == 1
    assert '"webhooks"' in captured[0]["sql"]
