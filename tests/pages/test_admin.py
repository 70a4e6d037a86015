"""The admin: who may enter, and that every page of every table renders."""

import re
from collections.abc import Callable

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from portfolio.models import Account
from safety import services as safety
from safety.models import KillSwitch
from tests.conftest import user_with_role
from tradingsite.common.actor import Actor
from tradingsite.common.roles import Role
from workflows.models import WorkflowVersion

Browser = Callable[..., Client]


def _address(model: type, page: str, *args: object) -> str:
    meta = model._meta  # type: ignore[attr-defined]
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=args)


def _models() -> list[type]:
    return sorted(admin.site._registry, key=lambda model: model._meta.label)


def test_every_list_of_every_table_renders(browser: Browser, busy_desk: Account) -> None:
    client = browser("admin")
    for model in _models():
        page = client.get(_address(model, "changelist"))
        assert page.status_code == 200, model
        assert client.get(_address(model, "changelist"), {"q": "a"}).status_code in (200, 302), model


def test_every_form_renders_or_is_closed(browser: Browser, busy_desk: Account) -> None:
    client = browser("admin")
    seen = 0
    for model in _models():
        assert client.get(_address(model, "add")).status_code in (200, 403), model
        row = model._default_manager.first()
        if row is not None:
            seen += 1
            page = client.get(_address(model, "change", row.pk))
            assert page.status_code == 200, model
            assert client.get(_address(model, "history", row.pk)).status_code == 200, model
    assert seen >= 12


def test_every_table_of_the_desk_is_in_the_admin_and_in_the_sidebar(browser: Browser, busy_desk: Account) -> None:
    from django.apps import apps
    from django.conf import settings

    labels = {name.rpartition(".")[2] for name in settings.DESK_APPS} - {"common"}
    missing = [model._meta.label for model in apps.get_models() if model._meta.app_label in labels
               and model not in admin.site._registry]  # fmt: skip
    assert missing == []
    html = browser("admin").get(reverse("admin:index")).content.decode()
    for model in _models():
        assert _address(model, "changelist") in html, model


def test_the_console_shows_how_the_desk_does(browser: Browser, busy_desk: Account) -> None:
    html = browser("admin").get(reverse("admin:index")).content.decode()
    for text in ("Failed runs, 24 hours", "Orders today", "Alerts not seen", "Waiting to be sent", "Embedded"):
        assert text in html
    safety.kill(actor=Actor.system("test"), reason="console sees it")
    assert "console sees it" in browser("admin").get(reverse("admin:index")).content.decode()


@pytest.mark.parametrize("role", ["viewer", "trader"])
def test_viewers_and_traders_do_not_enter(browser: Browser, busy_desk: Account, role: str) -> None:
    client = browser(role)
    for model in _models():
        page = client.get(_address(model, "changelist"), follow=True)
        assert page.status_code == 403, model
        assert client.post(_address(model, "add"), {}, follow=True).status_code == 403, model
    assert client.get(reverse("admin:index"), follow=True).status_code == 403


def test_a_stranger_signs_in_on_the_desks_own_page(browser: Browser) -> None:
    page = browser().get(reverse("admin:index"), follow=True)
    assert page.redirect_chain[-1][0] == "/login/?next=/admin/"


def test_an_operator_reads_the_desk_and_stops_it_and_nothing_else(browser: Browser, busy_desk: Account) -> None:
    client = browser("operator")
    html = client.get(reverse("admin:index")).content.decode()
    for model in _models():
        label = model._meta.app_label  # type: ignore[attr-defined]
        ours = label in ("market", "safety", "portfolio", "workflows", "executions", "agents", "scheduler", "optimize")
        assert client.get(_address(model, "changelist")).status_code == (200 if ours else 403), model
        # Stopping is an operator's right, from the admin too.
        assert client.get(_address(model, "add")).status_code == (200 if model is KillSwitch else 403), model
        if not ours:
            assert _address(model, "changelist") not in html


def test_an_admin_by_group_alone_may_do_what_the_tables_allow(busy_desk: Account) -> None:
    client = Client()
    client.force_login(user_with_role(Role.ADMIN, "chief"))
    assert client.get(_address(get_user_model(), "add")).status_code == 200


def test_the_admin_policy_allows_no_inline_script(browser: Browser, busy_desk: Account) -> None:
    client = browser("admin")
    policy = client.get(reverse("admin:index"))["Content-Security-Policy"]
    scripts = next(part for part in policy.split(";") if part.strip().startswith("script-src"))
    assert "unsafe-inline" not in scripts
    assert "unsafe-eval" not in client.get("/")["Content-Security-Policy"]


def test_figures_carry_no_zeros_that_only_fill_their_places(browser: Browser, busy_desk: Account) -> None:
    for role in ("admin", "operator"):
        client = browser(role)
        for model in _models():
            addresses = [_address(model, "changelist")]
            row = model._default_manager.first()
            if row is not None:
                addresses.append(_address(model, "change", row.pk))
            for address in addresses:
                html = client.get(address).content.decode()
                assert re.findall(r"-?\d+\.\d*0{4,}\b", html) == [], address


def test_a_list_still_sorts_by_its_figures(browser: Browser, busy_desk: Account) -> None:
    page = browser("admin").get(reverse("admin:portfolio_account_changelist"), {"o": "5"})
    assert page.status_code == 200
    assert "ORDER BY" in str(page.context["cl"].queryset.query)
    assert "cash" in str(page.context["cl"].queryset.query).partition("ORDER BY")[2]


def test_a_version_is_called_by_the_name_of_its_workflow(browser: Browser, busy_desk: Account) -> None:
    version = WorkflowVersion.objects.select_related("workflow").first()
    assert version is not None
    assert str(version) == f"{version.workflow.name} v{version.version_number}"
