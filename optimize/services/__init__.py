"""Every change of a job that does not come from its workers."""

from optimize.services.asking import job_cancel, job_create

__all__ = ["job_cancel", "job_create"]
