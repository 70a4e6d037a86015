"""A task of Celery that does nothing but say over Redis that it was here."""

import redis
from celery import shared_task
from django.conf import settings

DONE = "idle-jobs-done"
_client = redis.Redis.from_url(settings.REDIS_URL)


@shared_task(name="idle_jobs.nothing", ignore_result=True)
def nothing() -> None:
    _client.rpush(DONE, 1)
