"""The half of the switch that a kill could not write is written when that can be done, and never undoes a resume."""

import contextlib
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from safety import killswitch, sentinel, services
from safety.models import AlertEvent, AuditLog, KillSweep, KillSwitch, KillSwitchEvent
from safety.services import killing
from tests.safety.conftest import refusing_writes, unreachable
from tradingsite.common import clock
from tradingsite.common.actor import Actor
from tradingsite.common.errors import Conflict

DESK = Actor.system("test")


@pytest.mark.django_db(transaction=True)
def test_the_row_is_written_when_the_database_takes_writes_again(operator_actor: Actor) -> None:
    with clock.frozen(datetime(2026, 1, 5, 15, tzinfo=UTC)), refusing_writes():
        services.kill(actor=operator_actor, reason="disk full", flatten=True)
    assert services.halves_mend() == 1
    row = KillSwitch.objects.get(pk="all")
    assert (row.active, row.reason, row.by, row.by_user_id) == (True, "disk full", "operator", operator_actor.user_id)
    assert row.since == datetime(2026, 1, 5, 15, tzinfo=UTC)
    assert killswitch.state().sources == ("database", "file")
    event = KillSwitchEvent.objects.get()
    assert (event.action, event.actor_name, event.actor_kind) == ("killed", "operator", "user")
    assert AuditLog.objects.filter(action="kill_switch.kill", actor_name="operator").count() == 1
    assert AlertEvent.objects.count() == 1
    assert KillSweep.objects.get().flatten
    assert services.halves_mend() == 0


@pytest.mark.django_db
def test_the_row_is_written_when_the_database_is_there_again() -> None:
    with unreachable():
        services.kill(actor=DESK, reason="r", scope=(strategy := uuid4()))
    assert services.halves_mend() == 1
    assert killswitch.state(strategy_id=strategy).sources == ("database", "file")


@pytest.mark.django_db
def test_the_file_is_written_when_the_folder_can_be_written_again(own_sentinels: Path) -> None:
    own_sentinels.write_text("in the way")
    services.kill(actor=DESK, reason="why", flatten=True)
    own_sentinels.unlink()
    assert services.halves_mend() == 1
    assert killswitch.state().sources == ("database", "file")
    note = sentinel.read("all")
    assert (note["reason"], note["by"], note["flatten"]) == ("why", "test", "true")


@pytest.mark.django_db
def test_a_file_that_somebody_made_by_hand_is_a_kill_like_any_other(own_sentinels: Path) -> None:
    own_sentinels.mkdir()
    (own_sentinels / "all").touch()
    assert services.halves_mend() == 1
    assert KillSwitch.objects.get(pk="all").by == "kill switch file"
    assert not KillSweep.objects.get().flatten


@pytest.mark.django_db
def test_files_that_name_no_scope_are_left_alone(own_sentinels: Path) -> None:
    own_sentinels.mkdir()
    for name in ("notes.txt", "ALL", uuid4().hex, ".draft"):
        (own_sentinels / name).touch()
    assert services.halves_mend() == 0
    assert not KillSwitch.objects.filter(active=True).exists()


@pytest.mark.django_db
def test_what_is_clear_stays_clear(operator_actor: Actor) -> None:
    assert services.halves_mend() == 0
    services.kill(actor=DESK)
    services.resume(actor=operator_actor, reason="ok")
    assert services.halves_mend() == 0
    assert not killswitch.state().active


def _resume_beside_mending(operator: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a mending begin when a resume has removed the file and not yet committed, and end after it."""
    removed, clear = threading.Event(), sentinel.clear
    seen = threading.Event()

    def clear_and_wait(scope: str) -> None:
        clear(scope)
        removed.set()
        seen.wait(1)

    def mend() -> None:
        try:
            removed.wait(5)
            with contextlib.suppress(Conflict):
                services.halves_mend()
        finally:
            seen.set()
            connection.close()

    monkeypatch.setattr(sentinel, "clear", clear_and_wait)
    other = threading.Thread(target=mend)
    other.start()
    services.resume(actor=operator, reason="ok")
    other.join()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_mending_beside_a_resume_does_not_set_the_switch_again(
    operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.kill(actor=DESK)
    _resume_beside_mending(operator_actor, monkeypatch)
    assert not killswitch.state().active
    assert killswitch.state().sources == ()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_without_the_row_s_lock_a_mending_would_set_the_file_of_a_switch_that_is_being_cleared(
    operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.kill(actor=DESK)

    def mend_unlocked(name: str) -> bool:
        row: Any = KillSwitch.objects.get(pk=name)
        if row.active and not sentinel.is_set(name):
            sentinel.write(name, {"scope": name})
        return True

    monkeypatch.setattr(killing, "_mend", mend_unlocked)
    _resume_beside_mending(operator_actor, monkeypatch)
    assert killswitch.state().sources == ("file",)
