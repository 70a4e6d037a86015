"""Signing in and out, the policy of the pages, and that no page carries inline code."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.test import Client

from agents.services import said_record
from agents.team.words import Said, SaidType
from executions.models import WorkflowExecution
from portfolio import services
from portfolio.models import Account
from tests.conftest import PASSWORD
from tradingsite.common.actor import Actor

Browser = Callable[..., Client]


def test_a_stranger_is_sent_to_the_login_and_back(browser: Browser, viewer: object, account: Account) -> None:
    client = browser()
    page = client.get("/runs/?status=failed")
    assert page.status_code == 302
    assert page["Location"] == "/login/?next=/runs/%3Fstatus%3Dfailed"
    answer = client.post(
        "/login/", {"username": "viewer", "password": PASSWORD, "next": "/runs/?status=failed"}, follow=True
    )
    assert answer.redirect_chain == [("/runs/?status=failed", 302)]


def test_wrong_credentials_say_nothing_of_which_was_wrong(browser: Browser, viewer: object) -> None:
    for username in ("viewer", "nobody"):
        page = browser().post("/login/", {"username": username, "password": "wrong"})
        assert page.status_code == 200
        assert "Please enter a correct username and password" in page.content.decode()


def test_the_login_never_leads_off_the_site(browser: Browser, viewer: object) -> None:
    page = browser().post("/login/", {"username": "viewer", "password": PASSWORD, "next": "https://evil.example/"})
    assert page["Location"] == "/"


def test_signing_out_is_a_post_and_ends_the_session(browser: Browser, account: Account) -> None:
    client = browser("viewer")
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/").status_code == 302


def test_a_user_without_a_role_is_told_whom_to_ask(db: None) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user(username="new", password=PASSWORD))
    page = client.get("/")
    assert page.status_code == 403
    assert "Your role does not allow this" in page.content.decode()


class _Inline(HTMLParser):
    """Collects what the policy would refuse: scripts and styles in the page, handlers and styles on elements."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: list[str] = []
        self.assets: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.found.append("script without src")
        if tag == "style":
            self.found.append("style element")
        self.found += [f"{tag} {name}" for name in given if name.startswith("on") or name == "style"]
        self.found += [f"{tag} {name}" for name, value in given.items() if (value or "").startswith("javascript:")]
        if given.get("id"):
            self.ids.append(str(given["id"]))
        self.assets += [
            str(given[name]) for name in ("src", "href") if str(given.get(name) or "").startswith("/static/")
        ]


def inline_of(html: str) -> list[str]:
    """Return what the policy would refuse in a page."""
    parser = _Inline()
    parser.feed(html)
    return parser.found


@pytest.fixture
def pages(browser: Browser, busy_desk: Account, told_run: WorkflowExecution) -> dict[str, str]:
    client = browser("admin")
    goal = services.goal_create(
        actor=Actor.system("test"), name="Half", target_weights={"ACME": "0.5"}, drift_threshold="0.05"
    )
    said_record(execution_id=told_run.pk, step_index=1, said=Said("ACME", "Technical", SaidType.RESPONSE, "It rises."))
    paths = [
        "/",
        "/runs/",
        f"/runs/{told_run.pk}/",
        f"/runs/{told_run.pk}/conversation/",
        "/agents/",
        "/adaptation/",
        "/goals/",
        f"/goals/{goal.pk}/",
        "/safety/kill/",
        "/safety/resume/",
        "/nothing-here",
    ]
    found = {path: client.get(path) for path in paths}
    found["/login/"] = browser().get("/login/")
    for path, answer in found.items():
        policy = answer["Content-Security-Policy"]
        assert "script-src 'self';" in f"{policy};", path
        assert "style-src 'self';" in f"{policy};", path
        assert "unsafe" not in policy, path
    return {path: answer.content.decode() for path, answer in found.items()}


def test_no_page_carries_what_the_policy_refuses(pages: dict[str, str]) -> None:
    for path, html in pages.items():
        assert inline_of(html) == [], path


def test_ids_are_unique_on_every_page(pages: dict[str, str]) -> None:
    for path, html in pages.items():
        parser = _Inline()
        parser.feed(html)
        assert len(parser.ids) == len(set(parser.ids)), path


def test_every_asset_is_ours_and_there(pages: dict[str, str]) -> None:
    for path, html in pages.items():
        parser = _Inline()
        parser.feed(html)
        assert parser.assets, path
        for asset in parser.assets:
            assert finders.find(asset.removeprefix("/static/")), asset
        assert not re.search(r'(?:src|href)="(?:https?:)?//(?!www\.tradingview\.com)', html), path


def test_every_vendored_folder_has_its_licence() -> None:
    for name in ("htmx", "lightweight-charts"):
        assert finders.find(f"vendor/{name}/LICENSE")


def test_every_page_has_one_heading_a_language_and_a_title(pages: dict[str, str]) -> None:
    for path, html in pages.items():
        assert html.count("<h1") == 1, path
        assert '<html lang="en">' in html, path
        assert re.search(r"<title>\S.*</title>", html), path


def test_an_operator_is_shown_the_way_to_the_admin_and_a_trader_is_not(browser: Browser) -> None:
    assert 'href="/admin/"' in browser("operator").get("/runs/").content.decode()
    assert 'href="/admin/"' not in browser("trader").get("/runs/").content.decode()
