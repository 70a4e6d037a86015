"""What floors above tell alert rules: figures of accounts and goals, and what has happened. They register when ready."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from safety.alerting.observations import Gap, Occurrence
from tradingsite.common.contracts.registry import Registry

ACCOUNT, GOAL = "account", "goal"


@dataclass(frozen=True)
class Facts:
    """Figures of one subject at one moment. A figure that is not known is not there; it is never 0 for want of a better."""

    at: datetime
    figures: Mapping[str, Decimal]


class FactSource(Protocol):
    """Figures of subjects of one kind: `account` or `goal`."""

    slug: str

    def facts(self, subjects: Collection[str], *, now: datetime) -> Mapping[str, Facts | Gap]:
        """Return the figures of each subject, an id or empty for the default one, with few queries for all of them."""
        ...


class OccurrenceSource(Protocol):
    """What has happened of one kind; `slug` is the kind of the rules that listen."""

    slug: str

    def between(self, since: datetime, until: datetime) -> Sequence[Occurrence]:
        """Return what happened from `since` up to and without `until`, in any order; the same at every reading."""
        ...


fact_sources: Registry[FactSource] = Registry("source of figures for alerts")
occurrence_sources: Registry[OccurrenceSource] = Registry("source of occurrences for alerts")
