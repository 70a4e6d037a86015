"""The list of runs and the page of one."""

import re
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from django.test import Client

from executions.models import StepExecution, WorkflowExecution
from tests.conftest import user_with_role
from tradingsite.common.ids import uuid7
from tradingsite.common.roles import Role

Browser = Callable[..., Client]
MakeRun = Callable[..., WorkflowExecution]


@pytest.mark.parametrize("role", ["viewer", "trader", "operator", "admin"])
def test_a_run_tells_its_whole_story_to_every_role(browser: Browser, told_run: WorkflowExecution, role: str) -> None:
    page = browser(role).get(f"/runs/{told_run.pk}/")
    assert page.status_code == 200
    html = page.content.decode()
    for text in (
        "Two averages",
        "Averages on ACME",
        "sma 10 above sma 30",
        "ORDER_NOTIONAL_EXCEEDS_LIMIT",
        "102.051",
        "signal is done",
        "pinned for this run",
        "data-live-final",
    ):
        assert text in html
    assert "looked at &lt;b&gt;400&lt;/b&gt; bars" in html


def test_what_acts_stands_above_what_holds(browser: Browser, told_run: WorkflowExecution) -> None:
    html = browser("viewer").get(f"/runs/{told_run.pk}/").content.decode()
    assert html.index("sma 10 above sma 30") < html.index("already flat")


@pytest.mark.parametrize("status", ["pending", "running", "completed", "failed", "cancelled"])
def test_a_run_has_a_page_in_every_state(browser: Browser, make_run: MakeRun, status: str) -> None:
    run = make_run(status, error_code="SOME_CODE" if status == "failed" else "", error_message="what went wrong")
    html = browser("viewer").get(f"/runs/{run.pk}/").content.decode()
    assert status.capitalize() in html
    assert ("SOME_CODE" in html) == (status == "failed")
    assert ("data-live-final" in html) == (status in ("completed", "failed", "cancelled"))


def test_a_failed_step_says_its_code_and_a_pending_one_has_nothing_to_open(browser: Browser, make_run: MakeRun) -> None:
    run = make_run("failed")
    StepExecution.objects.create(
        execution=run, index=0, name="prices", type="market_data", status="failed", attempts=3,
        error_code="SERIES_EMPTY", error_message="ACME has no bars", started_at=run.started_at,
        completed_at=run.completed_at,
    )  # fmt: skip
    StepExecution.objects.create(execution=run, index=1, name="signal", type="signal")
    html = browser("viewer").get(f"/runs/{run.pk}/").content.decode()
    assert "SERIES_EMPTY" in html
    assert "3 attempts" in html
    assert "step-1-config" not in html


def test_an_order_that_was_denied_shows_its_code(browser: Browser, told_run: WorkflowExecution) -> None:
    from portfolio.models import Order

    Order.objects.update(status="denied", code="DAILY_TRADES_EXCEEDED", detail="20 of 20 orders used")
    html = browser("viewer").get(f"/runs/{told_run.pk}/").content.decode()
    assert "DAILY_TRADES_EXCEEDED" in html
    assert "20 of 20 orders used" in html


def test_very_long_values_do_not_break_the_page(browser: Browser, make_run: MakeRun) -> None:
    run = make_run(results={"decisions": [{"symbol": "A", "action": "HOLD", "reason": "x" * 5000, "confidence": "no"}]})
    StepExecution.objects.create(
        execution=run, index=0, name="n" * 100, type="signal", status="completed", summary="s" * 5000,
        output={"blob": "y" * 200_000}, started_at=run.started_at, completed_at=run.completed_at,
    )  # fmt: skip
    page = browser("viewer").get(f"/runs/{run.pk}/")
    assert page.status_code == 200
    assert "more characters; the API has the whole" in page.content.decode()


def test_odd_outputs_of_a_step_are_shown_and_never_an_error(browser: Browser, make_run: MakeRun) -> None:
    run = make_run(results={})
    for index, output in enumerate((None, [], "text", {"intents": None}, {"decisions": "none"})):
        StepExecution.objects.create(
            execution=run, index=index, name=f"s{index}", type="custom", status="completed", output=output,
            started_at=run.started_at, completed_at=run.completed_at,
        )  # fmt: skip
    assert browser("viewer").get(f"/runs/{run.pk}/").status_code == 200


def test_a_run_that_is_not_there_is_a_404_page(browser: Browser, db: None) -> None:
    page = browser("viewer").get(f"/runs/{uuid7()}/")
    assert page.status_code == 404
    assert "There is nothing here" in page.content.decode()


# ------------------------------------------------------------------------------------------------------------ list


def test_the_list_filters_by_status_and_keeps_the_filter_in_the_address(browser: Browser, make_run: MakeRun) -> None:
    kept, other = make_run("failed"), make_run("completed")
    html = browser("viewer").get("/runs/?status=failed").content.decode()
    assert str(kept.pk) in html
    assert str(other.pk) not in html


@pytest.mark.parametrize("query", ["?status=nonsense", "?before=nonsense", "?after=0", "?unknown=1", "?status=%00"])
def test_a_wrong_address_of_the_list_shows_the_list(browser: Browser, make_run: MakeRun, query: str) -> None:
    run = make_run()
    page = browser("viewer").get(f"/runs/{query}")
    assert page.status_code == 200
    assert str(run.pk) in page.content.decode()


def _ids(page: Any) -> list[str]:
    return re.findall(r'id="run-([0-9a-f-]{36})"', page.content.decode())


def _link(page: Any, rel: str) -> str:
    found = re.search(rf'href="([^"]+)" rel="{rel}"', page.content.decode())
    return found[1].replace("&amp;", "&") if found else ""


def test_walking_to_the_end_and_back_shows_every_run_once(browser: Browser, make_run: MakeRun) -> None:
    made = [str(make_run("failed").pk) for _ in range(60)]
    client = browser("viewer")
    page = client.get("/runs/?status=failed")
    assert not _link(page, "prev")
    seen, pages = _ids(page), [_ids(page)]
    while link := _link(page, "next"):
        page = client.get(link if link.startswith("/") else f"/runs/{link}")
        seen += _ids(page)
        pages.append(_ids(page))
    assert seen == made[::-1]
    page = client.get(_link(page, "prev"))
    assert _ids(page) == pages[-2]
    page = client.get(_link(page, "prev"))
    assert _ids(page) == pages[0]
    assert not _link(page, "prev")


# --------------------------------------------------------------------------------------------------------- actions


def test_a_viewer_sees_no_buttons_and_is_refused(browser: Browser, make_run: MakeRun) -> None:
    running, failed = make_run("running"), make_run("failed")
    client = browser("viewer")
    assert "Cancel run" not in client.get(f"/runs/{running.pk}/").content.decode()
    assert "Retry" not in client.get(f"/runs/{failed.pk}/").content.decode()
    assert client.post(f"/runs/{running.pk}/cancel/").status_code == 403
    assert client.post(f"/runs/{failed.pk}/retry/").status_code == 403
    running.refresh_from_db()
    failed.refresh_from_db()
    assert running.cancel_requested_at is None
    assert failed.status == "failed"


def test_a_trader_acts_on_its_own_runs_only(browser: Browser, make_run: MakeRun, trader: Any) -> None:
    other = make_run("running", by=user_with_role(Role.TRADER, "another"))
    mine = make_run("running", by=trader)
    client = browser(trader)
    assert "Cancel run" not in client.get(f"/runs/{other.pk}/").content.decode()
    assert client.post(f"/runs/{other.pk}/cancel/").status_code == 403
    assert "Cancel run" in client.get(f"/runs/{mine.pk}/").content.decode()
    answer = client.post(f"/runs/{mine.pk}/cancel/", follow=True)
    assert "The run was asked to stop." in answer.content.decode()
    mine.refresh_from_db()
    other.refresh_from_db()
    assert mine.cancel_requested_at is not None
    assert other.cancel_requested_at is None


def test_an_operator_retries_a_failed_run(browser: Browser, make_run: MakeRun) -> None:
    run = make_run("failed")
    answer = browser("operator").post(f"/runs/{run.pk}/retry/", follow=True)
    assert "The run goes on from its first incomplete step." in answer.content.decode()
    run.refresh_from_db()
    assert run.status == "pending"


def test_an_action_that_the_state_refuses_says_why(browser: Browser, make_run: MakeRun) -> None:
    run = make_run("completed")
    answer = browser("operator").post(f"/runs/{run.pk}/retry/", follow=True)
    assert answer.status_code == 200
    assert 'class="note error"' in answer.content.decode()


def test_actions_need_the_token_of_their_form(make_run: MakeRun, operator: Any) -> None:
    run = make_run("running")
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    page = client.post(f"/runs/{run.pk}/cancel/")
    assert page.status_code == 403
    assert "This form has expired" in page.content.decode()
    run.refresh_from_db()
    assert run.cancel_requested_at is None


def test_a_fault_of_ours_gives_a_page_with_the_request_id(browser: Browser, make_run: MakeRun) -> None:
    run = make_run()
    client = browser("viewer")
    client.raise_request_exception = False
    with mock.patch("executions.views.pages.run_page", side_effect=ZeroDivisionError):
        page = client.get(f"/runs/{run.pk}/")
    assert page.status_code == 500
    assert page["X-Request-Id"] in page.content.decode()
