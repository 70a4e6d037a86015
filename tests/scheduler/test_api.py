"""Schedules over HTTP: create, read, change, stop, fire, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from rest_framework.test import APIClient

from safety.models import AlertEvent
from scheduler.models import Clock, ClockKeeper, Schedule, ScheduleFire
from tests.scheduler.conftest import Clockwork, TrialRun
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]


@pytest.fixture
def client(api: Api, clockwork: Clockwork) -> APIClient:
    return api("trader")


def body(**fields: Any) -> dict[str, Any]:
    return {"name": "Open", "job_type": "tests.run", "schedule": "30 9 * * mon-fri", **fields}


def test_a_schedule_is_created_read_and_listed_with_its_next_times(client: APIClient) -> None:
    answer = client.post("/api/scheduler", body(timezone="America/New_York", config={"number": 3}), format="json")
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert answer["Location"].endswith(f"/scheduler/{made['id']}")
    assert (made["status"], made["schedule"], made["timezone"]) == ("scheduled", "30 9 * * mon-fri", "America/New_York")
    assert made["description"] == "At 09:30, Monday through Friday, America/New_York"
    assert len(made["next_run_times"]) == 10
    assert made["next_run_times"][0] == made["next_run_time"]
    again = client.get(f"/api/scheduler/{made['id']}")
    assert again.json() == made
    listed = client.get("/api/scheduler").json()
    assert listed["clock"]["status"] == "no_beat"
    assert [row["id"] for row in listed["results"]] == [made["id"]]


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("0 0 13 * 5", "At 00:00, on day 13 of the month, and on each Friday, UTC"),
        ("@hourly", "Every hour, UTC"),
        ("*/15 9-16 * * 1-5", "Every 15 minutes, between 09:00 and 16:59, Monday through Friday, UTC"),
        ({"every_s": 5400}, "Every 1 hour 30 minutes"),
        ({"market": "XNYS", "event": "close", "offset_s": -300}, "5 minutes before the close of XNYS"),
        ({"market": "XLON", "event": "open"}, "At the open of XLON"),
    ],
)
def test_a_rule_is_previewed_in_plain_english(client: APIClient, schedule: Any, words: str) -> None:
    answer = client.post("/api/scheduler/preview", {"schedule": schedule}, format="json")
    assert answer.status_code == 200, answer.json()
    assert answer.json()["description"] == words
    times = answer.json()["next_run_times"]
    assert len(times) == 10
    assert times == sorted(set(times))
    assert not Schedule.objects.exists()


CRONS = [
    ("", "0 fields"), ("* * * *", "4 fields"), ("* * * * * *", "6 fields"), ("60 * * * *", "minute"),
    ("-1 * * * *", "minute"), ("*/0 * * * *", "minute"), ("*/60 * * * *", "minute"), ("1,,2 * * * *", "minute"),
    ("5-1 * * * *", "minute"), ("a * * * *", "minute"), ("1.5 * * * *", "minute"), ("*-5 * * * *", "minute"),
    ("1- * * * *", "minute"), ("/5 * * * *", "minute"), ("1/ * * * *", "minute"), ("99999999999 * * * *", "minute"),
    ("* 24 * * *", "hour"), ("* mon * * *", "hour"), ("* 5-25 * * *", "hour"), ("* */24 * * *", "hour"),
    ("* * 0 * *", "day of month"), ("* * 32 * *", "day of month"), ("0 0 30 2 *", "day of month"),
    ("0 0 31 4,6,9,11 *", "day of month"), ("* * L * *", "day of month"), ("* * ? * *", "day of month"),
    ("* * 15W * *", "day of month"), ("* * * 0 *", "month"), ("* * * 13 *", "month"), ("* * * foo *", "month"),
    ("* * * janfeb *", "month"), ("* * * * 8", "day of week"), ("* * * * sonntag", "day of week"),
    ("* * * * 1#2", "day of week"), ("* * * * 5L", "day of week"), ("@never", "@never"), ("@reboot", "@reboot"),
    ("0 0 * * * UTC", "6 fields"), ("٣ * * * *", "minute"), ("0 0 1 1 * " * 40, "characters"),
]  # fmt: skip
RULES: list[tuple[dict[str, Any], str]] = [
    ({"schedule": None}, "schedule"), ({"schedule": 5}, "schedule"), ({"schedule": []}, "schedule"),
    ({"schedule": {}}, "schedule"), ({"schedule": True}, "schedule"), ({"schedule": {"cron": "* * * * *"}}, "schedule"),
    ({"schedule": {"every_s": 0}}, "schedule/every_s"), ({"schedule": {"every_s": -5}}, "schedule/every_s"),
    ({"schedule": {"every_s": 1.5}}, "schedule/every_s"), ({"schedule": {"every_s": "60"}}, "schedule/every_s"),
    ({"schedule": {"every_s": True}}, "schedule/every_s"), ({"schedule": {"every_s": None}}, "schedule/every_s"),
    ({"schedule": {"every_s": 10**12}}, "schedule/every_s"),
    ({"schedule": {"every_s": 60, "at": "noon"}}, "schedule/at"),
    ({"schedule": {"market": "XXXX", "event": "open"}}, "schedule/market"),
    ({"schedule": {"market": 5, "event": "open"}}, "schedule/market"),
    ({"schedule": {"market": None, "event": "open"}}, "schedule/market"),
    ({"schedule": {"market": "XNYS"}}, "schedule/event"),
    ({"schedule": {"market": "XNYS", "event": "lunch"}}, "schedule/event"),
    ({"schedule": {"market": "XNYS", "event": ["open"]}}, "schedule/event"),
    ({"schedule": {"market": "XNYS", "event": "open", "offset_s": "5"}}, "schedule/offset_s"),
    ({"schedule": {"market": "XNYS", "event": "open", "offset_s": 10**9}}, "schedule/offset_s"),
    ({"schedule": {"market": "XNYS", "event": "open", "minutes": 5}}, "schedule/minutes"),
    ({"timezone": "Mars/Olympus"}, "timezone"), ({"timezone": ""}, "timezone"), ({"timezone": "../etc/passwd"}, "timezone"),
    ({"timezone": "EST5EDT4"}, "timezone"), ({"timezone": 5}, "timezone"), ({"timezone": "x" * 100}, "timezone"),
    ({"timezone": "America"}, "timezone"),
    ({"name": ""}, "name"), ({"name": "x" * 201}, "name"), ({"name": "a\u0007b"}, "name"), ({"name": None}, "name"),
    ({"job_type": "tests.nothing"}, "job_type"), ({"job_type": ""}, "job_type"), ({"job_type": 5}, "job_type"),
    ({"config": {"number": "x"}}, "config/number"), ({"config": {"number": 1001}}, "config/number"),
    ({"config": {"other": 1}}, "config/other"), ({"config": []}, "config"), ({"config": "x"}, "config"),
    ({"enabled": "perhaps"}, "enabled"), ({"gap": "never"}, "gap"), ({"repeat": "thrice"}, "repeat"),
    ({"misfire": "some"}, "misfire"), ({"overlap": "pile"}, "overlap"), ({"jitter_s": -1}, "jitter_s"),
    ({"jitter_s": 3601}, "jitter_s"), ({"jitter_s": "x"}, "jitter_s"), ({"misfire_grace_s": 0}, "misfire_grace_s"),
    ({"misfire_bound": 0}, "misfire_bound"), ({"misfire_bound": 1001}, "misfire_bound"),
    ({"pause_after": -1}, "pause_after"), ({"start_at": "tomorrow"}, "start_at"),
    ({"start_at": "2026-01-01T00:00:00"}, "start_at"), ({"end_at": 5}, "end_at"),
    ({"start_at": "2026-01-02T00:00:00Z", "end_at": "2026-01-01T00:00:00Z"}, "end_at"), ({"cron": "* * * * *"}, "cron"),
    ({"start_at": "9999-12-31T23:59:59Z"}, "start_at"), ({"end_at": "0001-01-01T00:00:00Z"}, "end_at"),
    ({"id": "5"}, "id"), ({"next_run_time": "2026-01-01T00:00:00Z"}, "next_run_time"),
]  # fmt: skip


def test_there_are_a_hundred_wrong_bodies() -> None:
    assert len(CRONS) + len(RULES) >= 100


@pytest.mark.parametrize(("cron", "word"), CRONS)
def test_a_wrong_cron_is_refused_with_the_part_at_fault(client: APIClient, cron: str, word: str) -> None:
    answer = client.post("/api/scheduler", body(schedule=cron), format="json")
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "schedule"
    assert word in error["detail"], error
    assert not Schedule.objects.exists()


@pytest.mark.parametrize(("fields", "pointer"), RULES)
def test_a_wrong_field_is_named(client: APIClient, fields: dict[str, Any], pointer: str) -> None:
    answer = client.post("/api/scheduler", body(**fields), format="json")
    assert answer.status_code == 400, answer.json()
    assert pointer in [error["pointer"] for error in answer.json()["errors"]], answer.json()
    assert not Schedule.objects.exists()


def test_every_wrong_field_is_named_at_once(client: APIClient) -> None:
    answer = client.post("/api/scheduler", body(name=" ", schedule="61 * * * *", config={"number": "x"}), format="json")
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert pointers == {"name"} or pointers == {"name", "schedule", "config/number"}


def test_a_change_replaces_or_patches_and_honours_if_match(client: APIClient) -> None:
    made = client.post("/api/scheduler", body(overlap="queue"), format="json")
    address = f"/api/scheduler/{made.json()['id']}"
    patched = client.patch(address, {"schedule": {"every_s": 60}}, format="json", headers={"If-Match": made["ETag"]})
    assert (patched.status_code, patched.json()["schedule"], patched.json()["overlap"]) == (
        200,
        {"every_s": 60},
        "queue",
    )
    stale = client.patch(address, {"enabled": False}, format="json", headers={"If-Match": made["ETag"]})
    assert stale.status_code == 412
    replaced = client.put(address, body(name="Other"), format="json")
    assert (replaced.json()["name"], replaced.json()["overlap"]) == ("Other", "skip")
    assert client.patch(address, {"other": 1}, format="json").status_code == 400


def test_a_name_is_taken_once_and_free_again_after_deletion(client: APIClient) -> None:
    first = client.post("/api/scheduler", body(), format="json").json()
    assert client.post("/api/scheduler", body(), format="json").json()["code"] == "SCHEDULE_NAME_TAKEN"
    assert client.delete(f"/api/scheduler/{first['id']}").status_code == 204
    assert client.get(f"/api/scheduler/{first['id']}").status_code == 404
    assert client.post("/api/scheduler", body(), format="json").status_code == 201
    assert client.post(f"/api/scheduler/{first['id']}/restore").json()["code"] == "SCHEDULE_NAME_TAKEN"
    assert client.get("/api/scheduler?deleted=true").json()["count"] == 1


def test_one_is_stopped_started_and_fired_by_hand_with_a_history(client: APIClient) -> None:
    address = f"/api/scheduler/{client.post('/api/scheduler', body(), format='json').json()['id']}"
    assert client.post(f"{address}/stop").json()["status"] == "paused"
    fired = client.post(f"{address}/run", headers={"Idempotency-Key": "one"})
    assert (fired.status_code, fired.json()["status"], fired.json()["manual"]) == (202, "running", True)
    again = client.post(f"{address}/run", headers={"Idempotency-Key": "one"})
    assert again.json()["id"] == fired.json()["id"]
    assert len(TrialRun.started) == 1
    history = client.get(f"{address}/history").json()["results"]
    assert [row["id"] for row in history] == [fired.json()["id"]]
    assert client.get(f"{address}/history?status=failed").json()["results"] == []
    assert client.get(address).json()["status"] == "running"
    assert client.post(f"{address}/start").json()["enabled"] is True


def test_the_whole_clock_takes_an_operator(client: APIClient, api: Api) -> None:
    assert client.post("/api/scheduler/stop").status_code == 403
    assert not Clock.objects.filter(running=False).exists()
    operator = api("operator")
    stopped = operator.post("/api/scheduler/stop", {"reason": "holiday"}, format="json").json()
    assert (stopped["running"], stopped["status"], stopped["reason"]) == (False, "stopped", "holiday")
    assert list(AlertEvent.objects.values_list("kind", "name")) == [("clock", "Clock stopped")]
    ClockKeeper.objects.create(name="a:1", host="a", pid=1, last_seen=utcnow())
    started = operator.post("/api/scheduler/start").json()
    assert (started["status"], started["beats"][0]["name"]) == ("running", "a:1")


def test_a_trader_changes_its_own_schedules_only(client: APIClient, api: Api) -> None:
    theirs = api("operator").post("/api/scheduler", body(), format="json").json()
    for answer in (
        client.delete(f"/api/scheduler/{theirs['id']}"),
        client.patch(f"/api/scheduler/{theirs['id']}", {"enabled": False}, format="json"),
        client.post(f"/api/scheduler/{theirs['id']}/run"),
        client.post(f"/api/scheduler/{theirs['id']}/stop"),
    ):
        assert answer.status_code == 403
    assert not ScheduleFire.objects.exists()


def test_a_job_for_operators_is_not_scheduled_by_a_trader(client: APIClient) -> None:
    answer = client.post("/api/scheduler", body(job_type="tradingsite.clean_up"), format="json")
    assert answer.status_code == 403
    assert not Schedule.objects.exists()


def test_beats_own_table_shows_each_schedule(client: APIClient) -> None:
    made = client.post("/api/scheduler", body(timezone="Europe/Berlin"), format="json").json()
    entry = PeriodicTask.objects.get(name=f"schedule {made['id']}")
    assert (entry.enabled, str(entry.crontab.timezone), entry.crontab.hour) == (True, "Europe/Berlin", "9")
    client.post(f"/api/scheduler/{made['id']}/stop")
    entry.refresh_from_db()
    assert not entry.enabled
    client.patch(f"/api/scheduler/{made['id']}", {"schedule": {"every_s": 90}}, format="json")
    entry.refresh_from_db()
    assert (entry.crontab, entry.interval.every) == (None, 90)
    client.delete(f"/api/scheduler/{made['id']}")
    assert not PeriodicTask.objects.filter(pk=entry.pk).exists()


def test_beats_own_table_takes_every_cron_and_bears_entries_that_stand_twice(client: APIClient) -> None:
    for _ in range(2):
        CrontabSchedule.objects.create(minute="0", hour="0", day_of_week="0,1", timezone="UTC")
        IntervalSchedule.objects.create(every=90, period="seconds")
    long = "0 0 * * " + ",".join(["mon,7"] * 30)
    for number, rule in enumerate((long, {"every_s": 90}, {"market": "XNYS", "event": "open"})):
        answer = client.post("/api/scheduler", body(name=f"number {number}", schedule=rule), format="json")
        assert answer.status_code == 201, answer.json()
    assert PeriodicTask.objects.filter(crontab__day_of_week="0,1").count() == 1


def test_the_job_types_tell_their_config(client: APIClient) -> None:
    found = {row["type"]: row for row in client.get("/api/job-types").json()}
    assert {"executions.run_workflow", "executions.roll_up_metrics", "market.import_bars",
            "portfolio.equity_snapshot", "tradingsite.clean_up"} <= set(found)  # fmt: skip
    entry = found["executions.run_workflow"]
    assert entry["starts_run"] is True
    assert "strategy_id" in entry["config_schema"]["properties"]
    assert all(row["description"] and row["title"] for row in found.values())
