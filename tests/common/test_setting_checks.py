"""A setting that cannot work stops the start and says what to do."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tradingsite.common import setting_checks
from tradingsite.common.setting_checks import check_deployment, check_environment


def test_the_settings_of_the_tests_have_nothing_to_complain_about() -> None:
    assert check_environment() == []


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("DESK_TIME_ZONE", "Mars/Olympus", "desk.E010"),
        ("DATA_DIR", Path("/nowhere/at/all"), "desk.E011"),
        ("CELERY_WORKER_CONCURRENCY", 0, "desk.E012"),
        ("OPTIMIZE_KEPT_DAYS", 0, "desk.E022"),
        ("OPTIMIZE_TABLES_KEPT_DAYS", 0, "desk.E022"),
        ("REDIS_URL", "http://127.0.0.1:6379", "desk.E013"),
        ("BROKER_URL", "sqla+sqlite:///broker", "desk.E013"),
        ("EXECUTION_TRANSPORT", "pigeon", "desk.E016"),
        ("EXECUTION_TRANSPORT", "kafka", "desk.E017"),
        ("OUTBOUND_ALLOWED", ["10.0.0.1/8"], "desk.E015"),
        ("OUTBOUND_ALLOWED", ["agents.internal:99999"], "desk.E015"),
    ],
)
def test_a_setting_that_cannot_work_is_named(settings: Any, name: str, value: object, code: str) -> None:
    setattr(settings, name, value)
    found = check_environment()
    assert [message.id for message in found] == [code]
    assert name.removeprefix("CELERY_") in found[0].msg


def test_a_database_on_which_nothing_is_tried_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setting_checks, "connection", SimpleNamespace(vendor="mysql"))
    assert [message.id for message in check_environment()] == ["desk.E014"]


def test_a_site_that_is_not_ready_for_others_is_told_so(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.PRODUCTION = False
    monkeypatch.setattr(setting_checks, "connection", SimpleNamespace(vendor="sqlite"))
    assert [message.id for message in check_deployment()] == ["desk.W020", "desk.W021"]
