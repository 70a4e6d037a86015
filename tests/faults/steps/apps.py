from django.apps import AppConfig


class FaultStepsConfig(AppConfig):
    """A plug-in whose steps leave a mark in the database, or take their worker with them."""

    name = "tests.faults.steps"
    label = "faultsteps"
