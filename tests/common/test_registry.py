"""Registries: filled at start-up, then closed."""

from dataclasses import dataclass

import pytest
from django.core.exceptions import ImproperlyConfigured

from tradingsite.common.contracts.jobs import JobType, job_types
from tradingsite.common.contracts.registry import Registry, UnknownName
from tradingsite.common.contracts.steps import StepConfig, StepContext, StepResult, StepType, step_types


@dataclass(frozen=True)
class Thing:
    slug: str


def test_a_name_registered_twice_stops_the_start_up() -> None:
    things: Registry[Thing] = Registry("thing")
    things.register(Thing("a"))
    with pytest.raises(ImproperlyConfigured, match="'a' is registered twice"):
        things.register(Thing("a"))


def test_a_frozen_registry_takes_nothing_more() -> None:
    things: Registry[Thing] = Registry("thing")
    things.freeze()
    with pytest.raises(ImproperlyConfigured, match="after the start-up"):
        things.register(Thing("late"))


def test_an_unknown_name_is_told_apart_from_other_faults() -> None:
    with pytest.raises(UnknownName):
        Registry("thing").get("nothing")


def test_a_plug_in_under_trial_leaves_no_trace() -> None:
    things: Registry[Thing] = Registry("thing")
    things.freeze()
    with things.temporarily(Thing("trial")):
        assert things.get("trial") == Thing("trial")
    assert "trial" not in things


def test_the_step_types_of_the_desk_are_all_there_and_closed() -> None:
    slugs = {step_type.slug for step_type in step_types.all()}
    assert {"market_data", "indicator", "signal", "condition", "risk_check", "order", "notify"} <= slugs

    class Late(StepType):
        slug, title, help, config_class = "late", "Late", "Too late.", StepConfig

        def run(self, context: StepContext) -> StepResult:
            return StepResult()

    with pytest.raises(ImproperlyConfigured, match="after the start-up"):
        step_types.register(Late)


def test_a_step_type_without_help_is_refused() -> None:
    class Mute(StepType):
        slug, title, help, config_class = "mute", "Mute", "", StepConfig

        def run(self, context: StepContext) -> StepResult:
            return StepResult()

    with pytest.raises(ImproperlyConfigured, match="has no help"), step_types.temporarily(Mute):
        pass


def test_a_job_type_is_named_after_its_app() -> None:
    class Foreign(JobType):
        slug, title, help, config_class = "market.tests_do", "Foreign", "Not market's.", StepConfig

        def run(self, **_: object) -> dict[str, object]:
            return {}

    with pytest.raises(ImproperlyConfigured, match=r"must be named tests\.<verb>"), job_types.temporarily(Foreign):
        pass
