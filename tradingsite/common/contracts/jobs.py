"""The contract of a scheduled job: something the clock may start, known to it by name alone."""

import abc
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured

from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import StrictSerializer
from tradingsite.common.contracts.registry import Registry
from tradingsite.common.roles import Role


class NoConfig(StrictSerializer):
    """The config of a job that takes none."""


class JobType(abc.ABC):
    """One kind of job; `slug` is `<app>.<verb>`. Be a `Job` or a `RunStarter`.

    Attributes:
        least_role: what a person must be to have it done; asked when it is scheduled and again when it fires.
    """

    slug: ClassVar[str]
    title: ClassVar[str]
    help: ClassVar[str]
    config_class: ClassVar[type[StrictSerializer]]
    least_role: ClassVar[Role] = Role.TRADER

    def check(self, *, config: Mapping[str, Any]) -> None:
        """Look at what the form cannot: whether what `config` names is there.

        Raises:
            ValidationFailed: with pointers inside the config.
        """
        return None


class Job(JobType):
    """Work that a worker does at once, within `timeout_s`; done again if its worker is lost, so it must bear that."""

    timeout_s: ClassVar[float] = 600.0

    @abc.abstractmethod
    def run(self, *, actor: Actor, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do the job once and return what is worth keeping of it, JSON-able."""


@dataclass(frozen=True)
class Skipped:
    """Why a fire started nothing, which is no failure: `run_id` is where the app keeps its own note of it."""

    code: str
    message: str
    run_id: UUID | None = None


class RunStarter(JobType):
    """Work with rows of its own that outlive every worker: firing it only writes them."""

    @abc.abstractmethod
    def start(self, *, actor: Actor, config: Mapping[str, Any]) -> UUID | Skipped:
        """Write what starts the run, in the transaction of the fire, and return the run's id, or why there is none.

        Whoever ends the run says so with `scheduler.services.run_ended`.
        """

    @abc.abstractmethod
    def cancel(self, *, actor: Actor, run_id: UUID) -> None:
        """Ask the run to end; nothing happens when it has ended already."""


def _check(job_type: type[JobType]) -> None:
    app = job_type.__module__.split(".")[0]
    if not re.fullmatch(rf"{app}\.[a-z][a-z0-9_]{{1,39}}", job_type.slug):
        raise ImproperlyConfigured(f"job type {job_type.slug!r} must be named {app}.<verb>")


job_types: Registry[type[JobType]] = Registry("job type", _check)
