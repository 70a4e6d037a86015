"""Loading what computes before the first job asks for it: cold it takes seconds, and the first small job would pay them."""

import os
import threading
from pathlib import Path

from django.conf import settings

from optimize.calls import QUEUE
from tradingsite.common import lifecycle

EVERY_S = 3600.0
_done = threading.Event()


def keep_kernels() -> None:
    """Have compiled kernels kept with the data where the code may not be written to, as in a container."""
    if not os.access(Path(__file__).parent / "engine" / "kernels", os.W_OK):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(settings.DATA_DIR / "kernels"))


def warm_worker() -> None:
    """Warm this process once, if it is a worker; one that only relays or serves pages never loads the compiler."""
    if _done.is_set() or not lifecycle.worker_name or not _takes_jobs():
        return
    from optimize.kernels import warm

    _done.set()
    warm()


def _takes_jobs() -> bool:
    from celery import current_app

    return QUEUE in (*lifecycle.worker_queues, *current_app.amqp.queues.consume_from)
