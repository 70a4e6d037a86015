"""Every change of a job that does not come from its workers."""

from optimize.services.applying import Applied, job_apply
from optimize.services.asking import job_cancel, job_create

__all__ = ["Applied", "job_apply", "job_cancel", "job_create"]
