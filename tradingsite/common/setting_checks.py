"""Start-up checks of the settings that come from the environment: a wrong one stops the start, with what to do."""

import os
import zoneinfo
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connection

from tradingsite.common.outbound import Allowed

REDIS_SCHEMES = ("redis", "rediss", "unix")
BROKER_SCHEMES = (*REDIS_SCHEMES, "amqp", "amqps", "memory")


@register()
def check_environment(app_configs: Sequence[AppConfig] | None = None, **kwargs: object) -> list[CheckMessage]:
    """Report `desk.E01x` for a setting that cannot work."""
    return list(_environment())


def _environment() -> Iterator[CheckMessage]:
    if settings.DESK_TIME_ZONE not in zoneinfo.available_timezones():
        yield Error(
            f"DESK_TIME_ZONE is {settings.DESK_TIME_ZONE!r}, which is no IANA time zone.",
            hint="Name one such as America/New_York or Europe/Berlin: the trading day ends at its midnight.",
            id="desk.E010",
        )
    folder = Path(settings.DATA_DIR)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        yield Error(
            f"DATA_DIR {str(folder)!r} is not a folder that this process can write to.",
            hint="Prices and the kill switch's file live there: without it no order leaves.",
            id="desk.E011",
        )
    if settings.CELERY_WORKER_CONCURRENCY < 1:
        yield Error(
            f"WORKER_CONCURRENCY is {settings.CELERY_WORKER_CONCURRENCY}.",
            hint="It is the number of runs that a worker carries at once; 1 or more.",
            id="desk.E012",
        )
    for name in ("OPTIMIZE_TABLES_KEPT_DAYS", "OPTIMIZE_KEPT_DAYS"):
        if getattr(settings, name) < 1:
            yield Error(
                f"{name} is {getattr(settings, name)}.",
                hint="It is the number of days that what ended optimisations left is kept; 1 or more.",
                id="desk.E022",
            )
    for name, url, schemes in (
        ("REDIS_URL", settings.REDIS_URL, REDIS_SCHEMES),
        ("BROKER_URL", settings.BROKER_URL, BROKER_SCHEMES),
    ):
        if url and urlsplit(url).scheme not in schemes:
            yield Error(f"{name} must begin with {', '.join(f'{s}://' for s in schemes)}.", id="desk.E013")
    if settings.EXECUTION_TRANSPORT not in ("celery", "kafka"):
        yield Error(
            f"EXECUTION_TRANSPORT is {settings.EXECUTION_TRANSPORT!r}.",
            hint="Runs go by celery or by kafka.",
            id="desk.E016",
        )
    if settings.EXECUTION_TRANSPORT == "kafka" and not settings.KAFKA_BOOTSTRAP_SERVERS:
        yield Error(
            "EXECUTION_TRANSPORT is kafka, but KAFKA_BOOTSTRAP_SERVERS is not set.",
            hint="Name brokers like kafka-1:9092,kafka-2:9092, or leave EXECUTION_TRANSPORT out.",
            id="desk.E017",
        )
    for entry in settings.OUTBOUND_ALLOWED:
        try:
            Allowed.parse(entry)
        except ValueError:
            yield Error(
                f"OUTBOUND_ALLOWED has {entry!r}, which is no host, host:port or network.",
                hint="Write it like agents.internal:9000 or 10.0.0.0/8, with commas between.",
                id="desk.E015",
            )
    if connection.vendor not in ("sqlite", "postgresql"):
        yield Error(
            f"DATABASE_URL names {connection.vendor}, on which nothing here is tried.",
            hint="Use postgres:// or leave it out for SQLite.",
            id="desk.E014",
        )


@register(Tags.security, deploy=True)
def check_deployment(app_configs: Sequence[AppConfig] | None = None, **kwargs: object) -> list[CheckMessage]:
    """Report `desk.W02x` for what a site that others reach should not be."""
    found: list[CheckMessage] = []
    if not settings.PRODUCTION:
        found.append(
            Warning("PRODUCTION is off.", hint="Set PRODUCTION=1 with SECRET_KEY and ALLOWED_HOSTS.", id="desk.W020")
        )
    if connection.vendor == "sqlite":
        found.append(
            Warning(
                "SQLite serves one process on one machine.", hint="Set DATABASE_URL to a PostgreSQL.", id="desk.W021"
            )
        )
    return found
