"""The pages of live adaptation: every state has its words, and forms do what they say or say why not."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from optimize.adaptation.models import AdaptationEvent, AdaptationRound, AdaptationWatch, LiveAdaptation, RegimePoint
from optimize.pages import adaptations
from portfolio.models import Account
from safety.services import kill
from scheduler.models import Schedule
from tests.conftest import user_with_role
from tests.pages.test_frame import inline_of
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.ids import uuid7
from tradingsite.common.roles import Role
from workflows.models import Strategy

Browser = Callable[..., Client]
LIVE = {"fast": 10, "slow": 50}
FOUND = {"fast": 12, "slow": 50}
FIGURES = {"return": 0.05, "sharpe": 0.812, "max_drawdown": 0.031, "trades": 14}
EVIDENCE = {
    "searched": 18, "unseen_bars": 160, "window": {"from": "2024-01-02", "to": "2025-06-30", "bars": 400},
    "live": FIGURES, "chosen": {**FIGURES, "sharpe": 1.934}, "p": 0.0004, "p_adjusted": 0.012, "alpha": 0.05,
    "curve": {"time": ["2025-01-02", "2025-01-03"], "live": [1.0, 1.05], "chosen": [1.0, 1.08]},
}  # fmt: skip
PROMISE = {"mean": 0.001, "deviation": 0.01, "width": 2.0, "level": 0.05, "bars": 20, "drawdown": 0.1}


@pytest.fixture
def adaptation(account: Account, strategy: Strategy, trader: Any) -> LiveAdaptation:
    Strategy.objects.filter(pk=strategy.pk).update(strategy_type="sma_crossover", created_by=trader)
    return make(strategy, trader)


def make(strategy: Strategy, owner: Any, **fields: Any) -> LiveAdaptation:
    schedule = Schedule.objects.create(
        name=f"Adapt {uuid7()}", job_type="optimize.adapt_parameters", kind="cron", cron="0 22 * * *",
        next_run_at=utcnow() + timedelta(hours=1),
    )  # fmt: skip
    said: dict[str, Any] = {
        "trailing_window": 400, "max_param_change_pct": 20, "objective": "sharpe", "watch_bars": 20,
        "costs": {"fee": 0.001, "slippage": 0.0}, "search_space": {"fast": [5, 10, 20]},
    }  # fmt: skip
    return LiveAdaptation.objects.create(strategy=strategy, schedule=schedule, created_by=owner, **{**said, **fields})


def happened(adaptation: LiveAdaptation, status: str, **fields: Any) -> AdaptationEvent:
    adaptation.events_count += 1
    adaptation.save(update_fields=["events_count"])
    said = {"trigger": "schedule", "live_params": LIVE, **fields}
    return AdaptationEvent.objects.create(adaptation=adaptation, number=adaptation.events_count, status=status, **said)


def html_of(browser: Browser, path: str, role: Any = "trader") -> str:
    page = browser(role).get(path)
    assert page.status_code == 200
    return " ".join(page.content.decode().split())


def url(adaptation: LiveAdaptation, path: str = "") -> str:
    return f"/adaptation/{adaptation.pk}/{path}"


def test_without_any_the_list_says_how_to_begin(browser: Browser, account: Account) -> None:
    html = html_of(browser, "/adaptation/", "viewer")
    assert "No strategy adapts" in html
    assert "POST /api/optimize/live" in html
    assert 'aria-current="page">Adaptation' in html
    assert "None was stopped" in html_of(browser, "/adaptation/?status=stopped", "viewer")


def test_the_list_shows_one_s_own_and_an_operator_everybodys(browser: Browser, adaptation: LiveAdaptation) -> None:
    happened(adaptation, "no_change", message="Nothing <b>better</b> was found.")
    for role in ("trader", "operator"):
        html = html_of(browser, "/adaptation/", role)
        for text in ("Averages on ACME", ">Active<", "No change", "at most 20 % a round", "&lt;b&gt;better"):
            assert text in html, text
    assert "No strategy adapts" in html_of(browser, "/adaptation/", user_with_role(Role.TRADER, "other"))


def test_a_long_list_comes_in_pages(
    browser: Browser, adaptation: LiveAdaptation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptations, "PAGE", 1)
    second = Strategy.objects.create(name="Another", strategy_type="sma_crossover")
    make(second, adaptation.created_by)
    first = html_of(browser, "/adaptation/")
    assert "Another" in first
    assert "page=2" in first
    assert "Averages on ACME" not in first
    assert "Averages on ACME" in html_of(browser, "/adaptation/?page=2")
    assert "Another" in html_of(browser, "/adaptation/?page=99&status=nonsense")


def test_a_frozen_desk_says_so_in_both_places(browser: Browser, adaptation: LiveAdaptation) -> None:
    kill(actor=Actor.system("test"), reason="a drill")
    for path in ("/adaptation/", url(adaptation)):
        html = html_of(browser, path)
        assert "Frozen" in html
        assert "a drill" in html
        assert "KILL_SWITCH_ACTIVE" in html
    assert "Run now" not in html_of(browser, url(adaptation))


def test_a_new_one_says_when_its_first_round_is_due(browser: Browser, adaptation: LiveAdaptation) -> None:
    html = html_of(browser, url(adaptation))
    for text in (
        "Nothing has happened yet",
        "The first round is due",
        "20 % at most",
        "400 bars",
        "At 22:00",
        "Run now",
    ):
        assert text in html, text
    Schedule.objects.update(enabled=False, paused_reason="It failed five times.")
    html = html_of(browser, url(adaptation))
    assert "Its schedule is paused." in html
    assert "It failed five times." in html


def test_a_round_under_way_shows_how_far_it_is(browser: Browser, adaptation: LiveAdaptation) -> None:
    AdaptationRound.objects.create(adaptation=adaptation, trigger="schedule", job_id=uuid7(), live_params=LIVE)
    html = html_of(browser, url(adaptation))
    assert "A round is under way" in html
    assert "by the clock" in html
    assert "Run now" not in html


def test_a_proposal_shows_what_moves_how_far_it_might_and_the_evidence(
    browser: Browser, adaptation: LiveAdaptation
) -> None:
    happened(
        adaptation, "proposed", proposed_params=FOUND, evidence=EVIDENCE, code="BETTER", message="fast 10 → 12 earned more."
    )  # fmt: skip
    html = html_of(browser, url(adaptation))
    for text in (
        "Waits for approval", "fast 10 → 12 earned more.", '<span class="num">10</span>', '<b class="num">12</b>',
        "allowed 8 to 12", "1 other as before", "0.812", "1.934", "3.10 %", "p under 0.001", "0.012 corrected", "18 combinations",
        "What one unit became on the unseen bars", url(adaptation, "events/1/approve/"), url(adaptation, "events/1/reject/"),
    ):  # fmt: skip
        assert text in html, text
    assert "events/1/rollback" not in html


def test_what_was_decided_takes_no_decision_any_more(browser: Browser, adaptation: LiveAdaptation) -> None:
    happened(adaptation, "proposed", proposed_params=FOUND)
    happened(
        adaptation,
        "applied",
        trigger="decision",
        about=1,
        proposed_params=FOUND,
        applied_params=FOUND,
        actor_name="trader",
    )
    html = html_of(browser, url(adaptation))
    assert "Approved" in html
    assert "events/1/approve" not in html
    assert "events/2/rollback" in html
    happened(adaptation, "rolled_back", trigger="breach", about=2, live_params=FOUND, applied_params=LIVE)
    html = html_of(browser, url(adaptation))
    assert "Taken back" in html
    assert "events/2/rollback" not in html
    assert "a promise was broken" in html


def test_a_suggestion_can_only_be_read(browser: Browser, adaptation: LiveAdaptation) -> None:
    LiveAdaptation.objects.update(mode="suggest")
    happened(adaptation, "suggested", proposed_params=FOUND)
    html = html_of(browser, url(adaptation))
    assert "Suggested" in html
    assert "events/1/" not in html


def test_a_stopped_one_keeps_its_history_and_offers_nothing(browser: Browser, adaptation: LiveAdaptation) -> None:
    happened(adaptation, "applied", proposed_params=FOUND, applied_params=FOUND)
    LiveAdaptation.objects.update(status="stopped", stopped_at=utcnow())
    html = html_of(browser, url(adaptation))
    assert "data-live-final" in html
    for text in ("Run now", "Stop adapting", "rollback"):
        assert text not in html


def test_regimes_are_drawn_with_their_changes_in_words(browser: Browser, adaptation: LiveAdaptation) -> None:
    LiveAdaptation.objects.update(regime={"kind": "volatility", "symbol": "ACME", "cooldown_bars": 7})
    assert "No bar was looked at yet" in html_of(browser, url(adaptation))
    start = utcnow() - timedelta(days=10)
    for day, label in enumerate(["", "calm", "calm", "calm", "turbulent", "turbulent"]):
        RegimePoint.objects.create(
            adaptation=adaptation, bar_time=start + timedelta(days=day), label=label, value=float(day),
            changed_from="calm" if day == 4 else "",
        )  # fmt: skip
    html = html_of(browser, url(adaptation))
    assert list(re.findall(r'class="band (\w+)"', html)) == ["unknown", "calm", "turbulent"]
    for text in ("Calm to <b>turbulent</b>", "measure 4", "less than 7 bars before", '<path class="curve second" d="M'):
        assert text in html, text


def test_what_was_promised_is_drawn_beside_what_came_of_it(browser: Browser, adaptation: LiveAdaptation) -> None:
    happened(adaptation, "applied", proposed_params=FOUND, applied_params=FOUND)
    both = {"total_return": -0.2, "sharpe": -1.5, "max_drawdown": 0.21}
    watch = AdaptationWatch.objects.create(
        adaptation=adaptation, event_number=1, applied=True, params=FOUND, shadow_params=LIVE, promise=PROMISE,
        from_time=utcnow(),
    )  # fmt: skip
    html = html_of(browser, url(adaptation))
    assert "No bar has come since" in html
    assert '<path class="curve floor" d="M' in html
    assert "dot-live" not in html
    AdaptationWatch.objects.filter(pk=watch.pk).update(
        bars=8, status="breached",
        figures={
            "live": both, "shadow": {**both, "total_return": 0.01}, "log_return": -0.223, "floor": -0.05,
            "breach": {"bar": 7, "bar_time": "2026-01-02T00:00:00Z", "log_return": -0.2, "floor": -0.05},
        },
    )  # fmt: skip
    html = html_of(browser, url(adaptation))
    for text in (
        "Broke its promise",
        "8 of 20 bars",
        "−20.00 %",
        "+1.00 %",
        "dot-live",
        "dot-shadow",
        "Below the floor after 7 bars",
    ):
        assert text in html, text


def test_a_long_history_comes_in_pages(
    browser: Browser, adaptation: LiveAdaptation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptations, "EVENTS", 2)
    for _ in range(5):
        happened(adaptation, "no_change")
    query, seen = "", []
    while True:
        html = html_of(browser, url(adaptation, query))
        seen += re.findall(r'id="event-(\d+)"', html)
        later = re.search(r'href="(\?before=\d+)"', html)
        if later is None:
            break
        query = later[1]
    assert seen == ["5", "4", "3", "2", "1"]
    assert "The newest" in html


def test_what_is_written_is_only_ever_text(browser: Browser, adaptation: LiveAdaptation) -> None:
    evil = "<script>alert(1)</script>"
    Strategy.objects.filter(pk=adaptation.strategy_id).update(name=evil)
    happened(
        adaptation, "proposed", message=evil, code="X", proposed_params={"fast": evil, evil: 1},
        evidence={**EVIDENCE, "window": {"from": evil, "to": evil, "bars": 1}},
    )  # fmt: skip
    for path in ("/adaptation/", url(adaptation), url(adaptation, "events/1/approve/")):
        html = html_of(browser, path)
        assert "<script>alert" not in html
        assert inline_of(html) == []


def test_a_refresh_gets_the_panels_alone(browser: Browser, adaptation: LiveAdaptation) -> None:
    for path in ("/adaptation/", url(adaptation)):
        html = browser("trader").get(path, headers={"HX-Request": "true"}).content.decode()
        assert "Averages on ACME" in html
        assert "<html" not in html


def test_somebody_else_s_is_not_there(browser: Browser, adaptation: LiveAdaptation) -> None:
    happened(adaptation, "proposed", proposed_params=FOUND)
    stranger = browser(user_with_role(Role.TRADER, "stranger"))
    for path in ("", "run/", "stop/", "events/1/approve/", "events/1/reject/", "events/1/rollback/"):
        assert stranger.get(url(adaptation, path)).status_code == 404, path
    for path in ("run/", "stop/", "events/1/approve/", "events/1/reject/", "events/1/rollback/"):
        assert stranger.post(url(adaptation, path)).status_code == 404, path


def test_a_viewer_reads_and_is_offered_nothing(browser: Browser, adaptation: LiveAdaptation, viewer: Any) -> None:
    LiveAdaptation.objects.update(created_by=viewer)
    happened(adaptation, "proposed", proposed_params=FOUND)
    html = html_of(browser, url(adaptation), "viewer")
    assert "<form" not in html.partition("<main")[2]


def test_stopping_asks_first_and_needs_a_token(browser: Browser, adaptation: LiveAdaptation, trader: Any) -> None:
    html = html_of(browser, url(adaptation, "stop/"))
    assert "Stop adapting?" in html
    assert "csrfmiddlewaretoken" in html
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(trader)
    assert strict.post(url(adaptation, "stop/")).status_code == 403
    answer = browser("trader").post(url(adaptation, "stop/"), {"reason": "enough"}, follow=True)
    assert answer.redirect_chain == [(url(adaptation), 302)]
    assert "The adaptation is stopped." in answer.content.decode()
    adaptation.refresh_from_db()
    assert adaptation.status == "stopped"


def test_rejecting_takes_a_reason_and_a_refusal_is_shown(browser: Browser, adaptation: LiveAdaptation) -> None:
    happened(adaptation, "proposed", proposed_params=FOUND)
    client = browser("trader")
    asked = client.get(url(adaptation, "events/1/reject/")).content.decode()
    assert "Reject the proposal?" in asked
    assert client.post(url(adaptation, "events/1/reject/"), {"reason": "x" * 501}).status_code == 400
    answer = client.post(url(adaptation, "events/1/reject/"), {"reason": "not now"}, follow=True)
    assert "The proposal is rejected." in answer.content.decode()
    again = client.post(url(adaptation, "events/1/reject/"))
    assert again.status_code == 409
    assert 'class="note error"' in again.content.decode()


def test_an_event_that_is_not_there_is_not_found(browser: Browser, adaptation: LiveAdaptation) -> None:
    assert browser("trader").get(url(adaptation, "events/7/approve/")).status_code == 404
    assert browser("trader").get(f"/adaptation/{uuid7()}/").status_code == 404


def test_an_operator_stops_one_from_the_admin_too(browser: Browser, adaptation: LiveAdaptation) -> None:
    answer = browser("operator").post(
        "/admin/optimize/liveadaptation/", {"action": "stop", "_selected_action": [str(adaptation.pk)]}, follow=True
    )
    assert "is stopped." in answer.content.decode()
    adaptation.refresh_from_db()
    assert adaptation.status == "stopped"
