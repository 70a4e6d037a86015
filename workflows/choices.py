"""The words of a definition."""

from django.db import models


class WorkflowType(models.TextChoices):
    """The template a workflow follows; each has its own rules in `workflows.definitions`."""

    TWO_INDICATOR = "two_indicator", "Two indicators"
    THREE_INDICATOR = "three_indicator", "Three indicators"
    AUTOGEN_MULTI_AGENT = "autogen_multi_agent", "Team of agents"
    CUSTOM = "custom", "Custom"


class OnError(models.TextChoices):
    """What the run does when a step failed for good."""

    FAIL = "fail", "Fail the run"
    CONTINUE = "continue", "Go on with the next step"
