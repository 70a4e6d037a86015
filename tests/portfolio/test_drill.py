"""What a drill refuses, what it touches, and what it leaves. How fast the switch is, the real processes tell (tests/e2e)."""

import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from market.models import DataSource, Instrument
from portfolio import drill, drill_processes, sweeping
from portfolio.drill import DrillReport, kill_drill
from portfolio.errors import DrillImpossible
from portfolio.models import Account, Order
from safety import killswitch, selectors
from safety import services as safety
from safety.errors import ResumeNeedsPerson
from safety.models import KillDrill, SafetySettings
from tests.portfolio.conftest import Prices
from tradingsite.common.actor import Actor

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]
# What is only ever added to; the sweep is the history of its kill.
HISTORIES = {
    "safety.auditlog", "safety.alertevent", "safety.gatedecision", "safety.decisionoutcome", "safety.killdrill", "safety.killsweep",
    "safety.killswitchevent", "common.liveevent", "common.livestream",
}  # fmt: skip


class InThisProcess:
    """Stands for the processes of a drill: a few orders of each, sent from here."""

    def __init__(self, accounts: list[UUID], *, symbol: str, strategy_id: UUID) -> None:
        self.symbol, self.strategy_id = symbol, strategy_id
        self.senders = [type("Sender", (), {"account_id": account, "denied_at": 0.0})() for account in accounts]
        self.numbers = dict.fromkeys(accounts, 0)

    def __enter__(self) -> "InThisProcess":
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(self.senders)

    def _send(self) -> dict[UUID, str]:
        said = {}
        for sender in self.senders:
            self.numbers[sender.account_id] += 1
            order = drill_processes.order_send(
                Account.objects.get(pk=sender.account_id),
                symbol=self.symbol,
                strategy_id=self.strategy_id,
                number=self.numbers[sender.account_id],
            )
            said[sender.account_id] = order.code or order.status
        return said

    def go(self) -> None:
        assert set(self._send().values()) == {"accepted"}

    def wait_for_flow(self, seconds: float) -> None:
        assert set(self._send().values()) == {"accepted"}

    def wait_for_denials(self) -> None:
        assert set(self._send().values()) == {"KILL_SWITCH_ACTIVE"}
        for sender in self.senders:
            sender.denied_at = time.time()

    def stop(self) -> None:
        pass


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, prices: Prices) -> None:
    monkeypatch.setattr(drill, "Senders", InThisProcess)
    monkeypatch.setattr(drill, "WATCH_S", 0.05)


def counts() -> dict[str, int]:
    return {model._meta.label_lower: model._base_manager.count() for model in apps.get_models()}


def test_a_drill_leaves_the_desk_as_it_found_it_but_for_the_histories(
    quick: None, prices: Prices, place: Place, account: Account, operator_actor: Actor, data_dir: Any
) -> None:
    prices.series("ACME", [(100, 101, 99, 100)])
    live = Account.objects.create(name="Live", mode="live", starting_cash=Decimal(10_000), cash=Decimal(10_000))
    resting = place(order_type="limit", limit_price=Decimal(50))
    before, status = counts(), selectors.safety_status()
    files = sorted(str(path) for path in data_dir.rglob("*") if path.is_file())
    report = kill_drill(actor=operator_actor, processes=2, kills=2)
    after = counts()
    assert {label for label in after if after[label] != before[label]} <= HISTORIES
    assert files == sorted(str(path) for path in data_dir.rglob("*") if path.is_file())
    resting.refresh_from_db()
    assert resting.status == "accepted"
    assert not live.orders.exists()
    now = selectors.safety_status()
    for name in ("kill_switch", "killed_strategies", "trades_today", "paper_mode", "trading_state"):
        assert now[name] == status[name], name
    assert (report.processes, report.kills, report.orders, report.cancelled) == (2, 2, 8, 8)
    assert report.passed


def test_its_figures_are_kept_and_shown(quick: None, account: Account, operator_actor: Actor) -> None:
    assert selectors.safety_status()["last_kill_drill"] is None
    report = kill_drill(actor=operator_actor, processes=1, kills=1)
    assert KillDrill.objects.get().last_order_p99_s == report.last_order_p99_s
    shown = selectors.safety_status()["last_kill_drill"]
    assert (shown["by"], shown["processes"], shown["passed"]) == ("operator", 1, True)


def test_a_drill_has_nothing_to_do_with_any_account_that_is_not_its_own(
    quick: None, account: Account, operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[tuple[str, str, str]] = set()
    give = drill._give

    def remember(made: Account, instrument: Instrument) -> None:
        used.add((made.name, made.mode, made.broker))
        give(made, instrument)

    monkeypatch.setattr(drill, "_give", remember)
    kill_drill(actor=operator_actor, processes=2, kills=1)
    assert used == {(f"Kill switch drill {number}", "paper", "paper") for number in (1, 2)}
    assert set(Order.objects.values_list("account__name", flat=True)) == set()


@pytest.mark.parametrize("who", ["trader", None])
def test_who_could_not_resume_cannot_drill(who: str | None, request: pytest.FixtureRequest) -> None:
    actor = Actor.system("x") if who is None else Actor.for_user(request.getfixturevalue(who))
    before = counts()
    with pytest.raises(ResumeNeedsPerson):
        kill_drill(actor=actor, processes=1, kills=1)
    assert counts() == before


def test_a_halted_desk_has_no_drill(operator_actor: Actor, data_dir: Any) -> None:
    safety.kill(actor=operator_actor, reason="real")
    with pytest.raises(DrillImpossible, match="real"):
        kill_drill(actor=operator_actor, processes=1, kills=1)
    assert killswitch.state().active


def test_of_two_drills_at_once_the_second_is_refused(
    quick: None, account: Account, operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    def second(strategy_id: UUID) -> None:
        try:
            kill_drill(actor=operator_actor, processes=1, kills=1)
        except DrillImpossible as error:
            refused.append(str(error))
        drill._kill(strategy_id)

    assert kill_drill(actor=operator_actor, processes=1, kills=1, call=second).passed
    assert "under way" in refused[0]


def test_a_drill_that_breaks_off_leaves_neither_its_switch_set_nor_its_rows(
    quick: None, account: Account, operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = counts()

    def fail(began: float) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(drill, "_confirmed", fail)
    with pytest.raises(KeyboardInterrupt):
        kill_drill(actor=operator_actor, processes=1, kills=1)
    after = counts()
    assert {label for label in after if after[label] != before[label]} <= HISTORIES
    assert not killswitch.state(strategy_id=drill.STRATEGY).active
    assert not KillDrill.objects.exists()


def test_a_kill_that_lets_orders_leave_afterwards_fails_the_drill(
    quick: None, account: Account, operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = drill._last
    monkeypatch.setattr(drill, "_last", lambda sent: last(sent) + 1.5)
    report = kill_drill(actor=operator_actor, processes=1, kills=1)
    assert not report.passed
    assert report.last_order_p99_s > 1
    assert selectors.safety_status()["last_kill_drill"]["passed"] is False


def test_a_sweep_that_is_not_confirmed_fails_the_drill(
    quick: None, account: Account, operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill, "CONFIRM_S", 0.3)
    monkeypatch.setattr(sweeping, "sweeps_work", lambda: 0)
    report = kill_drill(actor=operator_actor, processes=1, kills=1)
    assert (report.confirmed_in_s, report.passed) == (None, False)


# -------------------------------------------------------------------------------------------------------- the command

REPORT = DrillReport(4, 3, 120, 0.4, 0.2, 0.0, 0.0, -0.2, 120, 1.9, True)


def test_the_command_prints_the_figures(operator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from portfolio.management.commands import kill_switch

    monkeypatch.setattr(kill_switch, "kill_drill", lambda **said: REPORT)
    out = StringIO()
    call_command("kill_switch", "drill", "--user", "operator", stdout=out)
    assert "3 kills under 4 processes, 120 orders" in out.getvalue()
    assert "last order after answer  0.000 s (p99)" in out.getvalue()
    monkeypatch.setattr(kill_switch, "kill_drill", lambda **said: DrillReport(*[*REPORT.__dict__.values()][:-1], False))
    with pytest.raises(CommandError, match="did not keep"):
        call_command("kill_switch", "drill", "--user", "operator", stdout=StringIO())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["drill"], "--user"),
        (["drill", "--user", "trader"], "RESUME_NEEDS_PERSON"),
        (["drill", "--user", "operator", "--processes", "0"], "--processes"),
        (["drill", "--user", "operator", "--kills", "51"], "--kills"),
        (["drill", "--user", "operator", "--url", "http://127.0.0.1:1"], "DESK_TOKEN"),
    ],
)
def test_a_wrong_call_of_it_says_what_is_missing(
    operator: Any, trader: Any, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DESK_TOKEN", raising=False)
    with pytest.raises(CommandError, match=message):
        call_command("kill_switch", *arguments, stdout=StringIO())


# --------------------------------------------------------------------------------------------------------- its processes


def told_by(script: str) -> drill_processes.Sender:
    return drill_processes.Sender(UUID(int=1), [sys.executable, "-c", script])


def test_a_process_that_ends_or_whose_orders_are_denied_ends_the_drill() -> None:
    for script, message in (
        ('print(\'{"word": "refused", "code": "X", "detail": "why"}\')', "X why"),
        ("raise SystemExit(3)", "has ended with 3"),
    ):
        sender = told_by(script)
        with pytest.raises(DrillImpossible, match=message):
            sender.wait_for("ready")
        sender.end()


def test_the_stage_is_cleared_of_what_a_killed_drill_left_behind(
    quick: None, account: Account, operator_actor: Actor
) -> None:
    drill._stage(operator_actor, 2)
    Account.objects.filter(name__startswith=drill.NAME).update(created_at="2026-01-01T00:00:00Z")
    assert kill_drill(actor=operator_actor, processes=1, kills=1).passed
    assert not Instrument.objects.filter(symbol=drill.SYMBOL).exists()
    assert not DataSource.objects.filter(slug=drill.SOURCE).exists()


def test_the_limits_of_a_day_do_not_end_the_flow(quick: None, account: Account, operator_actor: Actor) -> None:
    SafetySettings.objects.update(daily_trade_limit=1, duplicate_window_s=3600)
    assert kill_drill(actor=operator_actor, processes=1, kills=3).orders == 6
