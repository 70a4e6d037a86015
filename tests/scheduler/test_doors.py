"""Whichever door a schedule is changed through, the clock goes by it at its next look, a quarter of a second away."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import PeriodicTask
from rest_framework.test import APIClient

from scheduler.beat import LOOK_EVERY_S
from scheduler.mirror import entry_name
from scheduler.models import Schedule
from tests.conftest import user_with_role
from tests.scheduler.conftest import Clockwork
from tradingsite.common.roles import Role

pytestmark = pytest.mark.django_db

Door = Callable[[Schedule, str], Any]


@pytest.fixture(params=["api", "admin", "shell"])
def door(request: pytest.FixtureRequest, api: Callable[..., APIClient]) -> Door:
    """Return what does `start`, `stop` or `run` to a schedule through one of the three doors."""
    admin = user_with_role(Role.ADMIN)

    def through_api(schedule: Schedule, verb: str) -> None:
        answer = api(admin).post(f"/api/scheduler/{schedule.pk}/{verb}")
        assert answer.status_code < 300, answer.json()

    def through_admin(schedule: Schedule, verb: str) -> None:
        browser = Client()
        browser.force_login(admin)
        action = {"run": "run_now"}.get(verb, verb)
        form = {"action": action, ACTION_CHECKBOX_NAME: [str(schedule.pk)]}
        answer = browser.post(reverse("admin:scheduler_schedule_changelist"), form, follow=True)
        assert "1 schedules were" in answer.content.decode()

    def through_shell(schedule: Schedule, verb: str) -> None:
        call_command("schedules", {"stop": "pause"}.get(verb, verb), schedule.name)

    doors: dict[str, Door] = {"api": through_api, "admin": through_admin, "shell": through_shell}
    return doors[request.param]


def test_what_is_stopped_and_started_holds_at_the_clocks_next_look(clockwork: Clockwork, door: Door) -> None:
    schedule = clockwork.create(schedule={"every_s": 60})
    door(schedule, "stop")
    clockwork.due(schedule, ago=1)
    assert clockwork.tick() == 0
    assert not PeriodicTask.objects.get(name=entry_name(schedule)).enabled
    door(schedule, "start")
    clockwork.due(schedule, ago=1)
    assert clockwork.tick() == 1
    assert clockwork.statuses(schedule) == ["running"]
    assert PeriodicTask.objects.get(name=entry_name(schedule)).enabled


def test_what_is_fired_by_hand_is_under_way_when_the_door_closes(clockwork: Clockwork, door: Door) -> None:
    schedule = clockwork.create(schedule={"every_s": 3600})
    door(schedule, "run")
    assert [fire.manual for fire in clockwork.fires(schedule)] == [True]
    assert clockwork.statuses(schedule) == ["running"]


def test_the_clock_looks_more_than_once_a_second() -> None:
    assert LOOK_EVERY_S < 1
