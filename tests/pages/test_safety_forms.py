"""Stopping and resuming from the pages, with and without JavaScript."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import F
from django.test import Client

from safety import killswitch
from safety import services as safety
from safety.models import AuditLog, KillSweep, KillSwitch, KillSwitchEvent
from tradingsite.common.actor import Actor

Browser = Callable[..., Client]


def test_an_operator_stops_trading_with_a_reason(browser: Browser, account: object) -> None:
    client = browser("operator")
    assert "Stop all trading?" in client.get("/safety/kill/").content.decode()
    answer = client.post("/safety/kill/", {"reason": "drill", "next": "/runs/"}, follow=True)
    assert answer.redirect_chain == [("/runs/", 302)]
    assert "Trading is stopped." in answer.content.decode()
    state = killswitch.state()
    assert state.active
    assert state.sources == ("database", "file")
    assert KillSwitch.objects.get(scope="all").reason == "drill"
    assert AuditLog.objects.get(action="kill_switch.kill").actor_name == "operator"


def test_a_second_kill_changes_nothing_and_says_so(browser: Browser, account: object) -> None:
    client = browser("operator")
    client.post("/safety/kill/", {"reason": "first"})
    answer = client.post("/safety/kill/", {"reason": "second"}, follow=True)
    assert "already stopped" in answer.content.decode()
    assert KillSwitch.objects.get(scope="all").reason == "first"


def test_resuming_needs_a_reason(browser: Browser, account: object) -> None:
    safety.kill(actor=Actor.system("test"))
    client = browser("operator")
    for reason in ("", "   "):
        page = client.post("/safety/resume/", {"reason": reason})
        assert page.status_code == 400
        assert "Say why it is safe to go on." in page.content.decode()
        assert killswitch.state().active
    client.post("/safety/resume/", {"reason": "prices are right again"})
    assert not killswitch.state().active


def test_resuming_what_is_not_stopped_is_a_refusal_in_words(browser: Browser, account: object) -> None:
    page = browser("operator").post("/safety/resume/", {"reason": "why not"})
    assert page.status_code == 409
    assert "is not set" in page.content.decode()


@pytest.mark.parametrize("role", ["viewer", "trader"])
def test_people_without_the_right_have_no_button_and_are_refused(browser: Browser, account: object, role: str) -> None:
    client = browser(role)
    html = client.get("/").content.decode()
    assert "Stop trading" not in html
    assert "/safety/" not in html
    assert client.get("/safety/kill/").status_code == 403
    assert client.post("/safety/kill/", {"reason": "x"}).status_code == 403
    assert client.post("/safety/resume/", {"reason": "x"}).status_code == 403
    assert not killswitch.state().active
    assert not KillSwitchEvent.objects.exists()


def test_nobody_signed_out_reaches_the_switch(browser: Browser) -> None:
    page = browser().post("/safety/kill/", {"reason": "x"})
    assert page.status_code == 302
    assert page["Location"].startswith("/login/")
    assert not killswitch.state().active


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_the_way_back_never_leaves_the_site(browser: Browser, account: object, target: str) -> None:
    page = browser("operator").post("/safety/kill/", {"reason": "x", "next": target})
    assert page["Location"] == "/"


def test_the_button_follows_the_state(browser: Browser, account: object) -> None:
    client = browser("operator")
    html = client.get("/").content.decode()
    assert 'id="kill-dialog"' in html
    assert "resume-dialog" not in html
    safety.kill(actor=Actor.system("test"))
    html = client.get("/").content.decode()
    assert 'id="resume-dialog"' in html
    assert "kill-dialog" not in html


def test_a_reason_that_is_too_long_is_refused_with_the_form(browser: Browser, account: object) -> None:
    page = browser("operator").post("/safety/kill/", {"reason": "x" * 501})
    assert page.status_code == 400
    assert 'aria-invalid="true"' in page.content.decode()
    assert not killswitch.state().active


def test_the_form_may_have_positions_closed_as_well(browser: Browser, account: object) -> None:
    client = browser("operator")
    assert 'name="flatten"' in client.get("/safety/kill/").content.decode()
    client.post("/safety/kill/", {"reason": "out", "flatten": "true"})
    assert KillSweep.objects.get().flatten


def test_every_page_says_how_far_a_halt_has_come(browser: Browser, account: object) -> None:
    client = browser("operator")
    client.post("/safety/kill/", {"reason": "out"})
    KillSweep.objects.update(
        confirmed_at=None,
        remaining={"orders": [{"account_id": "a", "client_order_id": "limit-7", "known": True}]},
    )
    page = client.get("/", follow=True).content.decode()
    assert "Not confirmed yet that nothing rests: order limit-7 rests." in page
    KillSweep.objects.update(confirmed_at=F("killed_at") + timedelta(seconds=2))
    assert "Nothing rests: confirmed after 2.0 s." in client.get("/", follow=True).content.decode()
