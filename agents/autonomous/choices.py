"""The words of the autonomous agent."""

from enum import StrEnum

from django.db import models


class Autonomy(models.TextChoices):
    """How far a run goes."""

    OBSERVE = "observe", "Says what it would do"
    PROPOSE = "propose", "Proposes orders for a person to approve"
    ACT = "act", "Places orders"

    @property
    def rank(self) -> int:
        """Its place from the most careful on."""
        return list(type(self)).index(self)


class RunTrigger(models.TextChoices):
    USER = "user", "By hand"
    SCHEDULE = "schedule", "By the clock"


class RunStatus(models.TextChoices):
    RUNNING = "running", "Under way"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    # The clock's time came, and something spoke against it.
    SKIPPED = "skipped", "Skipped"


class ProposalStatus(models.TextChoices):
    PENDING = "pending", "Waits for a person"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    EXPIRED = "expired", "Expired"


class Phase(StrEnum):
    """The steps of a run by their names, in order."""

    OBSERVE = "observe"
    ANALYSE = "analyse"
    DECIDE = "decide"
    GATE = "gate"
    ACT = "act"
    REFLECT = "reflect"
