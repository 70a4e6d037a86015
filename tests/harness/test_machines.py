"""The machines behind the rules find what they are there to find."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from django.apps import apps
from django.apps.registry import Apps
from django.db import models

from tests.harness import __main__ as harness
from tests.harness import checks, services
from tradingsite.common.checks import FLOORS, check_relations_point_down, points_down, upward_relations


def test_every_relation_of_the_desk_points_down() -> None:
    assert check_relations_point_down() == []


def test_every_app_of_the_desk_stands_on_a_floor(settings: object) -> None:
    desk = {config.label for config in apps.get_app_configs() if Path(config.path).is_relative_to(checks.ROOT)}
    installed = {label for label in desk if ".venv" not in Path(apps.get_app_config(label).path).parts}
    assert installed == set().union(*FLOORS)


def test_a_relation_that_points_up_is_found_although_no_module_imports_anything() -> None:
    # A registry of their own: these two tables are no part of the desk.
    apart = Apps()

    class Run(models.Model):
        class Meta:
            app_label = "executions"
            apps = apart

    class Price(models.Model):
        run = models.ForeignKey("executions.Run", on_delete=models.CASCADE)

        class Meta:
            app_label = "market"
            apps = apart

    found = upward_relations([Run, Price])
    assert [(model.__name__, field.name) for model, field, _ in found] == [("Price", "run")]


@pytest.mark.parametrize(
    ("source", "target", "allowed"),
    [
        ("executions", "workflows", True),
        ("workflows", "executions", False),
        ("agents", "optimize", False),
        ("market", "market", True),
        ("market", "auth", True),
    ],
)
def test_the_floors_say_who_may_refer_to_whom(source: str, target: str, allowed: bool) -> None:
    assert points_down(source, target) is allowed


def test_a_skipped_test_counts_as_failed(tmp_path: Path) -> None:
    word = "skip"
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_runtest_makereport\n")
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent(f"""
            import pytest

            def test_that_gives_up():
                pytest.{word}("not today")

            @pytest.mark.xfail
            def test_that_is_expected_to_fail():
                assert False
        """)
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "--rootdir",
            tmp_path,
            tmp_path,
        ],
        cwd=checks.ROOT,
        capture_output=True,
        text=True,
    )
    assert "2 failed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 1


def test_the_report_counts_failures_errors_and_tests_left_out(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite><testcase/><testcase><failure/></testcase><testcase><error/></testcase>"
        "<testcase><skipped/></testcase></testsuite></testsuites>"
    )
    assert harness._counted(report) == (4, 3)


def test_a_free_port_is_free_and_far_from_the_usual_ones() -> None:
    port = services.free_port()
    assert 23000 <= port < 29000


def test_a_machine_without_servers_is_told_what_would_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_REDIS_URL", raising=False)
    monkeypatch.setattr(services.shutil, "which", lambda name: None)
    monkeypatch.setattr(services, "_package_folder", lambda name: None)
    with pytest.raises(services.ServiceMissing, match="TEST_REDIS_URL"), services.redis():
        pass


def test_an_address_given_in_the_environment_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "postgres://somewhere/else")
    with services.postgres() as found:
        assert found.url == "postgres://somewhere/else"


def test_an_extra_that_another_one_asks_for_has_to_be_locked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "a-desk"\ndependencies = []\n[project.optional-dependencies]\n'
        'broker = ["client~=1.0"]\ntest = ["a_desk[broker]", "pytest==9.1.1"]\n'
    )
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "tests" / "requirements.txt").write_text("pytest==9.1.1\n")
    assert checks.locks_out_of_date() == [
        "tests/requirements.txt: client~=1.0 is declared, nothing is locked (make lock)"
    ]
    (tmp_path / "tests" / "requirements.txt").write_text("client==1.4\npytest==9.1.1\n")
    assert checks.locks_out_of_date() == []


def test_a_dependency_that_the_lock_misses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["django~=5.2"]\n[project.optional-dependencies]\ntest = ["pytest==9.1.1"]\n'
    )
    (tmp_path / "requirements.txt").write_text("django==5.1.0 \\\n    --hash=sha256:00\n")
    (tmp_path / "tests" / "requirements.txt").write_text("pytest==9.1.1\n")
    (wrong,) = checks.locks_out_of_date()
    assert wrong.startswith("requirements.txt: django~=5.2 is declared, 5.1.0 is locked")
