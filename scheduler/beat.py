"""Beat with the desk's clock: schedules fire by their due times in the database, everything else as beat does it."""

import logging
import os
import socket
from typing import Any

from django.db import Error, close_old_connections
from django.db.models import F, QuerySet
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from scheduler import firing, work
from scheduler.mirror import TASK
from scheduler.models import ClockKeeper
from tradingsite.common.clock import utcnow

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.25
BEAT_EVERY_S = 2.0


class DeskScheduler(DatabaseScheduler):  # type: ignore[misc]  # the package has no types
    """Looks for due schedules several times a second; a fault of the database is told once and survived."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._name = f"{socket.gethostname()}:{os.getpid()}"[:100]
        self._seen = 0.0
        self._failing = False
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        try:
            close_old_connections()
            fired = firing.tick()
            firing.start_waiting()
            work.recover()
            self._say_alive(fired)
            wait = super().tick(*args, **kwargs)
            self._failing = False
        except (Error, OSError) as error:
            if not self._failing:
                logger.warning("the clock cannot work for now: %s", error)
            self._failing = True
            return LOOK_EVERY_S
        return min(wait, LOOK_EVERY_S)

    def enabled_models_qs(self) -> QuerySet[PeriodicTask]:
        # Those of the schedules are shown, not sent: the due times in the database decide.
        rows: QuerySet[PeriodicTask] = super().enabled_models_qs().exclude(task=TASK)
        return rows

    def _say_alive(self, fired: int) -> None:
        now = utcnow()
        if now.timestamp() - self._seen < BEAT_EVERY_S and not fired:
            return
        self._seen = now.timestamp()
        ClockKeeper.objects.update_or_create(
            name=self._name,
            defaults={"last_seen": now, "fired": F("fired") + fired},
            create_defaults={"host": socket.gethostname()[:100], "pid": os.getpid(), "started_at": now,
                             "last_seen": now, "fired": fired},
        )  # fmt: skip
