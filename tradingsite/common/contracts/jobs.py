"""The contract of a scheduled job: something the clock may start, known to it by name alone."""

import abc
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured

from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import StrictSerializer
from tradingsite.common.contracts.registry import Registry


class JobType(abc.ABC):
    """One kind of job; `slug` is `<app>.<verb>`."""

    slug: ClassVar[str]
    title: ClassVar[str]
    help: ClassVar[str]
    config_class: ClassVar[type[StrictSerializer]]

    @abc.abstractmethod
    def run(self, *, actor: Actor, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do the job once and return what is worth keeping of it, JSON-able."""


def _check(job_type: type[JobType]) -> None:
    app = job_type.__module__.split(".")[0]
    if not re.fullmatch(rf"{app}\.[a-z][a-z0-9_]{{1,39}}", job_type.slug):
        raise ImproperlyConfigured(f"job type {job_type.slug!r} must be named {app}.<verb>")


job_types: Registry[type[JobType]] = Registry("job type", _check)
