"""Large outputs: kept once, given to the next step, fetched by their own address."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from rest_framework.test import APIClient

from executions.machine import tally_of
from executions.models import Payload, StepExecution
from executions.payloads import INLINE_MAX
from executions.services import execution_retry
from tests.executions.conftest import Trials
from tradingsite.common import housekeeping
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.steps import StepContext, StepResult

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(api: Callable[..., APIClient]) -> APIClient:
    return api("viewer")


LARGE = {"rows": ["x" * 1000] * 100}


def put_out_much(context: StepContext) -> StepResult:
    return StepResult(LARGE, "much")


def test_a_large_output_is_kept_once_for_all_steps_that_put_it_out(trials: Trials) -> None:
    trials.acts["one"] = trials.acts["two"] = put_out_much
    runs = [trials.carry(trials.create("one", "two", "three")) for _ in range(2)]
    kept = Payload.objects.get()
    assert kept.data == LARGE
    assert kept.size > INLINE_MAX
    for run in runs:
        one, two, three = trials.steps(run)
        assert (one.output, one.payload_id, two.payload_id) == (None, kept.pk, kept.pk)
        assert three.payload_id is None
        assert one.result == LARGE


def test_the_next_step_gets_a_large_output_as_any_other(trials: Trials) -> None:
    trials.acts["one"] = put_out_much
    trials.carry(trials.create("one", "two"))
    assert trials.contexts[1].outputs == {"one": LARGE}


def test_a_run_that_is_resumed_reads_the_large_output_of_a_step_that_is_done(trials: Trials) -> None:
    trials.acts["one"] = put_out_much

    def crash(context: StepContext) -> StepResult:
        raise ValueError("once")

    trials.acts["two"] = crash
    run = trials.carry(trials.create("one", "two"))
    execution_retry(actor=trials.actor, execution=run)
    del trials.acts["two"]
    assert trials.carry(run).status == "completed"
    assert trials.begun == ["one", "two", "two"]
    assert trials.contexts[2].outputs == {"one": LARGE}


def test_a_small_output_stays_with_its_step(trials: Trials) -> None:
    run = trials.carry(trials.create({"name": "one", "config": {"number": 3}}))
    assert trials.steps(run)[0].output == {"number": 3}
    assert not Payload.objects.exists()


def test_an_output_stands_in_one_place_only(trials: Trials) -> None:
    trials.acts["one"] = put_out_much
    run = trials.carry(trials.create("one"))
    with pytest.raises(IntegrityError), transaction.atomic():
        StepExecution.objects.filter(execution=run).update(output={})


def test_a_large_output_that_no_step_refers_to_goes_after_a_day(trials: Trials) -> None:
    trials.acts["one"] = put_out_much
    trials.carry(trials.create("one"))
    long_ago = utcnow() - timedelta(days=2)
    Payload.objects.update(created_at=long_ago)
    Payload.objects.create(digest="a" * 64, size=1, data={}, created_at=long_ago)
    Payload.objects.create(digest="b" * 64, size=1, data={})
    assert housekeeping.prune()["payloads"] == 1
    assert not Payload.objects.filter(digest="a" * 64).exists()
    assert Payload.objects.count() == 2


def test_the_steps_of_a_run_name_the_address_of_a_large_output(trials: Trials, client: APIClient) -> None:
    trials.acts["one"] = put_out_much
    run = trials.carry(trials.create("one", {"name": "two", "config": {"number": 3}}))
    one, two = client.get(f"/api/runs/{run.pk}/steps").json()
    kept = Payload.objects.get()
    assert one["output"] is None
    assert one["output_ref"] == {
        "sha256": kept.digest,
        "size": kept.size,
        "href": f"/api/v1/workflow-executions/{run.pk}/steps/0/output",
    }
    assert (two["output"], two["output_ref"]) == ({"number": 3}, None)

    answer = client.get(one["output_ref"]["href"])
    assert answer.json() == LARGE
    assert answer["ETag"] == f'"{kept.digest}"'
    again = client.get(one["output_ref"]["href"], headers={"If-None-Match": f'"{kept.digest}"'})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/api/runs/{run.pk}/steps/1/output").json() == {"number": 3}


@pytest.mark.parametrize("index", ["7", "x", "-1", "99999999999"])
def test_a_step_that_does_not_exist_has_no_output(trials: Trials, client: APIClient, index: str) -> None:
    run = trials.carry(trials.create("one"))
    answer = client.get(f"/api/runs/{run.pk}/steps/{index}/output")
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("application/problem+json")


def test_a_step_that_is_not_done_has_no_output_yet(trials: Trials, client: APIClient) -> None:
    run = trials.create("one")
    answer = client.get(f"/api/runs/{run.pk}/steps/0/output")
    assert (answer.status_code, answer.json()["code"]) == (404, "STEP_OUTPUT_NOT_FOUND")


def test_the_end_of_a_run_counts_what_was_decided(trials: Trials) -> None:
    decisions = [
        {"action": "BUY", "r_coefficient": 2.0}, {"action": "BUY", "r_coefficient": None},
        {"action": "SELL", "r_coefficient": 0.5}, {"action": "HOLD"}, {"action": "wait"},
    ]  # fmt: skip
    trials.acts["one"] = lambda context: StepResult({"decisions": decisions})
    run = trials.carry(trials.create("one"))
    assert (run.buys, run.sells, run.holds, run.r_sum, run.r_count) == (2, 1, 1, 2.5, 2)


def test_a_tally_reads_over_what_is_no_decision() -> None:
    tally = tally_of(["BUY", None, {"action": "BUY", "r_coefficient": True}, {"r_coefficient": "3"}])
    assert (tally.buys, tally.sells, tally.holds, tally.r_sum, tally.r_count) == (1, 0, 0, 0.0, 0)
