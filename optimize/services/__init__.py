"""Every change of a job that does not come from its workers, and every change of a live adaptation."""

from optimize.services.adapting import (
    event_approve,
    event_reject,
    event_rollback,
    live_run,
    live_start,
    live_stop,
)
from optimize.services.applying import Applied, job_apply
from optimize.services.asking import job_cancel, job_create

__all__ = [
    "Applied",
    "event_approve",
    "event_reject",
    "event_rollback",
    "job_apply",
    "job_cancel",
    "job_create",
    "live_run",
    "live_start",
    "live_stop",
]
