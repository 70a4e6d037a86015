"""The Celery application: carries work, knows nothing of it. The database holds the truth."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")

app = Celery("tradingsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect(dispatch_uid="duties of a worker process")
def _start_duties(sender: Any = None, **_: Any) -> None:
    # Each worker also relays and watches, so that a deployment of web and workers alone is complete.
    from tradingsite.common import lifecycle
    from tradingsite.common.background import Background

    lifecycle.worker_name = getattr(sender, "hostname", None) or "worker"
    lifecycle.worker_slots = sender.controller.concurrency if sender is not None else 0
    Background().start()


@worker_shutting_down.connect(dispatch_uid="early hand-over of running work")
def _hand_over(**_: Any) -> None:
    from tradingsite.common.lifecycle import stopping

    stopping.set()
