"""Latched in two places; either one set, or either one unreadable, is halted."""

import os
import threading
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connection

from safety import killswitch, selectors, sentinel, services
from safety.errors import (
    KillSwitchActive,
    KillSwitchNotActive,
    KillSwitchStuck,
    KillSwitchUnwritable,
    LedgerReadOnly,
    ResumeNeedsPerson,
)
from safety.events import KillSwitchChanged, kill_switch_changed
from safety.models import AlertEvent, AuditLog, KillSwitch, KillSwitchEvent
from tests.safety.conftest import refusing_writes, unreachable
from tradingsite.common.actor import Actor
from tradingsite.common.errors import ValidationFailed
from tradingsite.common.models import LiveEvent
from tradingsite.common.roles import Role

pytestmark = pytest.mark.django_db

DESK = Actor.system("test")


def test_nothing_is_halted_at_first() -> None:
    killswitch.assert_open(strategy_id=None)
    killswitch.assert_open(strategy_id=uuid4())
    assert not killswitch.state().active


def test_a_kill_halts_everything_in_both_places(own_sentinels: Path) -> None:
    result = services.kill(actor=DESK, reason="too fast")
    assert result.sources == ("database", "file")
    assert (result.changed, result.degraded) == (True, False)
    assert (own_sentinels / "all").exists()
    assert KillSwitch.objects.get(pk="all").active
    with pytest.raises(KillSwitchActive, match="too fast") as caught:
        killswitch.assert_open(strategy_id=uuid4())
    assert caught.value.extra["sources"] == ["database", "file"]
    assert caught.value.status == 409


def test_a_second_kill_changes_nothing() -> None:
    services.kill(actor=DESK, reason="first")
    before = (KillSwitch.objects.get(), sentinel.read("all"))
    again = services.kill(actor=Actor.system("other"), reason="second")
    assert not again.changed
    row, note = KillSwitch.objects.get(), sentinel.read("all")
    assert (row.reason, row.since, row.by) == (before[0].reason, before[0].since, "test")
    assert note == before[1]
    assert KillSwitchEvent.objects.count() == AlertEvent.objects.count() == AuditLog.objects.count() == 1


def test_killing_one_strategy_leaves_the_others_alone() -> None:
    one, other = uuid4(), uuid4()
    services.kill(actor=DESK, reason="odd", scope=one)
    with pytest.raises(KillSwitchActive, match=str(one)):
        killswitch.assert_open(strategy_id=one)
    killswitch.assert_open(strategy_id=other)
    killswitch.assert_open(strategy_id=None)
    assert [item["strategy_id"] for item in selectors.killed_strategies()] == [str(one)]


@pytest.mark.parametrize("scope", ["", "../all", "ALL", "everything", "a/b", "\x00"])
def test_a_scope_that_is_neither_all_nor_an_id_is_refused(scope: str, own_sentinels: Path) -> None:
    with pytest.raises(ValidationFailed):
        services.kill(actor=DESK, scope=scope)
    assert not own_sentinels.exists()


def test_the_file_alone_halts(own_sentinels: Path) -> None:
    own_sentinels.mkdir()
    (own_sentinels / "all").write_bytes(b"\xff\x00 not json")
    assert killswitch.state().sources == ("file",)
    with pytest.raises(KillSwitchActive):
        killswitch.assert_open(strategy_id=None)


def test_the_database_alone_halts(own_sentinels: Path) -> None:
    services.kill(actor=DESK, reason="r")
    (own_sentinels / "all").unlink()
    assert killswitch.state().sources == ("database",)
    with pytest.raises(KillSwitchActive):
        killswitch.assert_open(strategy_id=None)


def test_a_folder_that_cannot_be_read_halts(own_sentinels: Path) -> None:
    own_sentinels.write_text("a file where the folder should be")
    assert killswitch.state().sources == ("file unreadable",)
    with pytest.raises(KillSwitchActive, match="cannot be read"):
        killswitch.assert_open(strategy_id=None)


def test_a_folder_without_permission_halts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "lstat", refuse)
    assert killswitch.state().active


def test_a_data_folder_that_is_not_mounted_halts(data_dir: Path) -> None:
    data_dir.rmdir()
    assert killswitch.state().active


def test_a_dangling_link_in_place_of_the_file_halts(own_sentinels: Path) -> None:
    own_sentinels.mkdir()
    (own_sentinels / "all").symlink_to("/nowhere")
    assert killswitch.state().active


def test_a_database_that_cannot_be_read_halts() -> None:
    with unreachable():
        assert killswitch.state().sources == ("database unreadable",)
        with pytest.raises(KillSwitchActive, match="database unreadable"):
            killswitch.assert_open(strategy_id=None)


@pytest.mark.django_db(transaction=True)
def test_a_kill_works_while_the_database_refuses_writes(operator_actor: Actor) -> None:
    with refusing_writes():
        result = services.kill(actor=operator_actor, reason="disk full")
        assert result.degraded
        assert result.sources == ("file",)
        with pytest.raises(KillSwitchActive, match="disk full"):
            killswitch.assert_open(strategy_id=None)
    assert not KillSwitch.objects.filter(active=True).exists()
    # Once it writes again, another kill completes the first, and a resume clears both.
    again = services.kill(actor=operator_actor, reason="disk full")
    assert (again.degraded, again.sources) == (False, ("database", "file"))
    services.resume(actor=operator_actor, reason="disk is free")
    killswitch.assert_open(strategy_id=None)


def test_a_kill_works_while_the_database_is_gone() -> None:
    with unreachable():
        assert services.kill(actor=DESK, reason="r").sources == ("file",)


def test_a_kill_works_while_the_folder_cannot_be_written(own_sentinels: Path) -> None:
    own_sentinels.write_text("in the way")
    result = services.kill(actor=DESK, reason="r")
    assert (result.degraded, result.sources) == (True, ("database",))


def test_a_kill_that_reaches_nothing_says_so(own_sentinels: Path) -> None:
    own_sentinels.write_text("in the way")
    with unreachable(), pytest.raises(KillSwitchUnwritable, match="Nothing is stopped"):
        services.kill(actor=DESK, reason="r")


def test_a_kill_leaves_a_whole_file_even_when_it_is_interrupted(
    own_sentinels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    assert services.kill(actor=DESK, reason="r").sources == ("database",)
    assert list(own_sentinels.iterdir()) == []


def test_resuming_clears_both_places_and_keeps_the_history(operator_actor: Actor, own_sentinels: Path) -> None:
    services.kill(actor=DESK, reason="why")
    services.resume(actor=operator_actor, reason="checked by hand")
    killswitch.assert_open(strategy_id=None)
    assert list(own_sentinels.iterdir()) == []
    events = list(selectors.kill_history().values_list("action", "reason", "actor_name"))
    assert events == [("resumed", "checked by hand", "operator"), ("killed", "why", "test")]
    with pytest.raises(LedgerReadOnly):
        KillSwitchEvent.objects.all().delete()
    with pytest.raises(LedgerReadOnly):
        KillSwitchEvent.objects.first().save()


def test_resuming_everything_leaves_a_killed_strategy_killed(operator_actor: Actor) -> None:
    strategy = uuid4()
    services.kill(actor=DESK, scope=strategy)
    services.kill(actor=DESK)
    services.resume(actor=operator_actor, reason="ok")
    killswitch.assert_open(strategy_id=None)
    with pytest.raises(KillSwitchActive):
        killswitch.assert_open(strategy_id=strategy)


def test_a_switch_set_by_file_alone_is_resumed_too(operator_actor: Actor, own_sentinels: Path) -> None:
    own_sentinels.mkdir()
    (own_sentinels / "all").touch()
    services.resume(actor=operator_actor, reason="ok")
    killswitch.assert_open(strategy_id=None)


@pytest.mark.parametrize(
    "actor",
    [
        DESK,
        Actor(kind="api_key", name="key", user_id=1, role=Role.ADMIN),
        Actor(kind="user", name="trader", user_id=1, role=Role.TRADER),
        Actor(kind="user", name="nobody", user_id=1, role=None),
    ],
)
def test_only_a_person_with_the_right_resumes(actor: Actor) -> None:
    services.kill(actor=DESK)
    with pytest.raises(ResumeNeedsPerson):
        services.resume(actor=actor, reason="please")
    assert killswitch.state().active


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_resuming_needs_a_reason(operator_actor: Actor, reason: str) -> None:
    services.kill(actor=DESK)
    with pytest.raises(ValidationFailed):
        services.resume(actor=operator_actor, reason=reason)
    assert killswitch.state().active


def test_what_is_not_set_cannot_be_resumed(operator_actor: Actor) -> None:
    with pytest.raises(KillSwitchNotActive):
        services.resume(actor=operator_actor, reason="ok")


def test_a_file_that_stays_keeps_the_row_as_well(operator_actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    services.kill(actor=DESK)

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(KillSwitchStuck, match="Permission denied"):
            services.resume(actor=operator_actor, reason="ok")
    assert killswitch.state().sources == ("database", "file")
    assert not KillSwitchEvent.objects.filter(action="resumed").exists()


@pytest.mark.django_db(transaction=True)
def test_a_database_that_refuses_the_resume_stays_halted(operator_actor: Actor) -> None:
    services.kill(actor=operator_actor)
    with refusing_writes(), pytest.raises(KillSwitchStuck):
        services.resume(actor=operator_actor, reason="ok")
    assert killswitch.state().sources == ("database", "file")


@pytest.mark.django_db(transaction=True)
def test_listeners_hear_of_a_kill_after_it_is_committed_and_cannot_undo_it() -> None:
    heard: list[tuple[KillSwitchChanged, bool]] = []

    def listen(sender: object, event: KillSwitchChanged, **kwargs: object) -> None:
        heard.append((event, connection.in_atomic_block))
        raise RuntimeError("a listener's own fault")

    kill_switch_changed.connect(listen)
    try:
        services.kill(actor=DESK, reason="r")
    finally:
        kill_switch_changed.disconnect(listen)
    assert heard == [(KillSwitchChanged("all", True, "r", "test"), False)]
    assert killswitch.state().active


def test_a_kill_is_an_alert_for_everybody_who_watches() -> None:
    services.kill(actor=DESK, reason="too fast")
    event = LiveEvent.objects.get(stream="alerts")
    assert (event.type, event.data["kind"], event.data["severity"]) == ("alert", "kill_switch", "critical")
    assert "too fast" in event.data["message"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgres
def test_fifty_simultaneous_kills_and_a_resume_in_between_end_in_one_consistent_state(operator_actor: Actor) -> None:
    def work(index: int) -> None:
        try:
            if index == 25:
                services.resume(actor=operator_actor, reason="a race")
            else:
                services.kill(actor=DESK, reason=f"kill {index}")
        except KillSwitchNotActive:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = KillSwitchEvent.objects.order_by("-id").first()
    active = KillSwitch.objects.get().active
    assert active is (last.action == "killed")
    if active:
        # A kill that was answered is never half undone by the resume it overtook.
        assert killswitch.state().sources == ("database", "file")
