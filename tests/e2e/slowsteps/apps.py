from django.apps import AppConfig


class SlowStepsConfig(AppConfig):
    """A plug-in as anybody could write one, here to give the tests a step that takes its time."""

    name = "tests.e2e.slowsteps"
    label = "slowsteps"
