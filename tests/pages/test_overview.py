"""The overview: for every role, empty and full."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from unittest import mock

import pytest
from django.db import OperationalError
from django.test import Client

from executions.models import WorkflowExecution
from portfolio.models import Account
from safety import services as safety
from safety.models import DrawdownBreaker, SafetySettings
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

Browser = Callable[..., Client]
ROLES = ["viewer", "trader", "operator", "admin"]


@pytest.mark.parametrize("role", ROLES)
def test_the_overview_shows_every_panel_to_every_role(browser: Browser, busy_desk: Account, role: str) -> None:
    page = browser(role).get("/")
    assert page.status_code == 200
    html = page.content.decode()
    for text in ("Equity", "ACME", "Two averages", "STEP_TIMED_OUT", "POSITION_EXCEEDS_LIMIT", "Orders today"):
        assert text in html


def test_an_empty_desk_says_what_to_do_next(browser: Browser, account: Account) -> None:
    html = browser("viewer").get("/").content.decode()
    for text in ("No runs yet", "manage.py demo", "Nothing is held", "All quiet", "No order has been judged yet"):
        assert text in html
    assert "100,000.00" in html


def test_a_desk_without_an_account_says_so_and_shows_the_rest(browser: Browser, db: None) -> None:
    page = browser("viewer").get("/")
    assert page.status_code == 200
    assert "There is no account to trade with" in page.content.decode()
    assert "Gate verdicts" in page.content.decode()


def test_generated_and_historical_prices_are_labelled(browser: Browser, busy_desk: Account) -> None:
    html = browser("viewer").get("/").content.decode()
    assert 'class="tag generated"' in html
    assert "historical" in html


def test_the_curve_is_in_the_page_as_data(browser: Browser, busy_desk: Account) -> None:
    html = browser("viewer").get("/").content.decode()
    found = re.search(r'<script id="equity-data" type="application/json">(.*?)</script>', html)
    assert found is not None
    values = [value for _, value in json.loads(found[1])]
    # From the starting cash over what was recorded; a position without a price says nothing about now.
    assert values == [100_000, 100_000, 100_250, 99_800]


def test_what_others_wrote_is_shown_as_text(browser: Browser, busy_desk: Account) -> None:
    html = browser("viewer").get("/").content.decode()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_a_refresh_brings_the_panels_and_the_switch_without_the_frame(browser: Browser, busy_desk: Account) -> None:
    part = browser("operator").get("/", headers={"HX-Request": "true"})
    html = part.content.decode()
    assert "<html" not in html
    assert 'id="positions"' in html
    assert 'hx-swap-oob="innerMorph"' in html
    assert "no-store" in part["Cache-Control"]


def test_a_refresh_after_signing_out_sends_the_whole_page_to_the_login(browser: Browser) -> None:
    part = browser().get("/", headers={"HX-Request": "true"})
    assert part.status_code == 401
    assert part["HX-Redirect"] == "/login/"


def test_a_limit_in_full_use_is_marked(browser: Browser, account: Account) -> None:
    SafetySettings.objects.update_or_create(pk=1, defaults={"daily_trade_limit": 0})
    html = browser("viewer").get("/").content.decode()
    assert '<progress class="bad"' in html


def test_a_halt_shows_on_every_page_with_its_reason(browser: Browser, account: Account) -> None:
    safety.kill(actor=Actor.system("test"), reason="prices look wrong")
    for path in ("/", "/runs/"):
        html = browser("viewer").get(path).content.decode()
        assert "Trading is stopped." in html
        assert "prices look wrong" in html


def test_a_strategy_that_is_stopped_alone_is_named(
    browser: Browser, account: Account, make_run: Callable[..., WorkflowExecution]
) -> None:
    run = make_run()
    safety.kill(actor=Actor.system("test"), reason="only this one", scope=run.strategy_id)
    html = browser("viewer").get("/").content.decode()
    assert "Strategy stopped" in html
    assert f"{run.strategy.name}: only this one" in html
    assert "Trading is stopped." not in html


def test_an_account_that_takes_no_orders_is_named_while_the_desk_is_open(browser: Browser, account: Account) -> None:
    assert "Trading open" in browser("viewer").get("/").content.decode()
    safety.reconciliation_block(
        actor=Actor.system("test"), account_id=account.pk, code="CASH_DIFFERS", detail="10 here, 20 at the broker"
    )
    DrawdownBreaker.objects.create(
        account_id=account.pk, level="reduce", sampled_at=utcnow(), equity=80, smoothed=80, peak=100, smoothed_peak=100,
        fall=Decimal("0.2"),
    )  # fmt: skip
    html = " ".join(browser("viewer").get("/").content.decode().split())
    assert "Trading open" not in html
    for said in (
        f"Account blocked</span> {account.name}:",
        "CASH_DIFFERS",
        "10 here, 20 at the broker",
        "20.00 % below",
    ):
        assert said in html


def test_a_database_that_is_away_gives_a_page_that_says_so(browser: Browser) -> None:
    client = browser("viewer")
    with mock.patch("executions.views.pages.overview_context", side_effect=OperationalError("gone")):
        page = client.get("/")
    assert page.status_code == 503
    assert "The database does not answer" in page.content.decode()


def test_durations_of_running_runs_go_on(browser: Browser, account: Account, make_run: Callable[..., object]) -> None:
    run = make_run("running")
    run.started_at -= timedelta(seconds=61)  # type: ignore[attr-defined]
    run.save()  # type: ignore[attr-defined]
    assert "1 min 0" in browser("viewer").get("/").content.decode()
