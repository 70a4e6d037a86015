"""What can go wrong with a schedule, by code."""

from tradingsite.common.errors import Conflict, NotFound


class ScheduleNotFound(NotFound):
    code, title = "SCHEDULE_NOT_FOUND", "There is no such schedule"


class ScheduleNameTaken(Conflict):
    code, title = "SCHEDULE_NAME_TAKEN", "Another schedule has this name"


class ScheduleNotDeleted(Conflict):
    code, title = "SCHEDULE_NOT_DELETED", "The schedule is not deleted"


# Why a fire did not come to an end of its own.
OWNER_NOT_ALLOWED = "OWNER_NOT_ALLOWED"
JOB_TYPE_MISSING = "JOB_TYPE_MISSING"
JOB_CRASHED = "JOB_CRASHED"
WORKER_LOST = "WORKER_LOST"
EARLIER_AT_WORK = "EARLIER_AT_WORK"
CLOCK_WAS_DOWN = "CLOCK_WAS_DOWN"
QUEUE_FULL = "QUEUE_FULL"
