"""Reading the kill switch: latched in the database and in a file; either one set, or either one unreadable, is halted.

Read it last, right before anything that cannot be undone: `assert_open` never answers from memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import Error as DatabaseFault

from safety import sentinel
from safety.errors import KillSwitchActive
from safety.models import EVERYTHING, FlattenPermit, KillSwitch
from tradingsite.common.clock import rfc3339
from tradingsite.common.writes import Sql

DATABASE, FILE = "database", "file"
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class KillState:
    """What the two halves say of the scopes that were asked for.

    Attributes:
        sources: which halves are set (`database`, `file`) or not readable (`database unreadable`, `file unreadable`).
        scope: the scope that is set, the widest first; empty while unreadable is all there is to say.
    """

    active: bool
    scope: str = ""
    reason: str = ""
    since: datetime | str | None = None
    by: str = ""
    sources: tuple[str, ...] = field(default_factory=tuple)

    @property
    def detail(self) -> str:
        """Say in a sentence why nothing goes out."""
        if not self.active:
            return ""
        unreadable = [source for source in self.sources if source.endswith(UNREADABLE)]
        if len(unreadable) == len(self.sources):
            return f"Halted because the kill switch cannot be read ({', '.join(unreadable)})."
        what = "Everything is stopped" if self.scope == EVERYTHING else f"Strategy {self.scope} is stopped"
        why = f": {self.reason}" if self.reason else ""
        who = f" (by {self.by})" if self.by else ""
        return f"{what}{why}{who}."

    @property
    def since_text(self) -> str | None:
        """Return since when, as RFC 3339."""
        return rfc3339(self.since) if isinstance(self.since, datetime) else self.since


def state(*, strategy_id: UUID | None = None) -> KillState:
    """Return the state for everything, and for one strategy if given. Never raises."""
    scopes = [EVERYTHING] if strategy_id is None else [EVERYTHING, str(strategy_id)]
    return state_of(scopes)


def state_of(scopes: list[str]) -> KillState:
    """Return the state of `scopes`, the widest first. Never raises: what cannot be read is active."""
    try:
        # Asked before every step and every order: making the query anew each time would cost more than asking.
        found_in = f"SELECT * FROM kill_switch WHERE active AND scope IN ({', '.join(['%s'] * len(scopes))})"
        rows = {row.scope: row for row in KillSwitch.objects.raw(found_in, scopes)}
    except DatabaseFault:
        return _state(scopes, {}, f"{DATABASE} {UNREADABLE}")
    return _state(scopes, rows)


def open_in_database(*, strategy_id: UUID) -> Sql:
    """Return the database's half of `assert_open` as a condition, for a write that must not happen while it is set."""
    text = "NOT EXISTS (SELECT 1 FROM kill_switch WHERE active AND scope IN (%s, %s))"
    return Sql(text, (EVERYTHING, str(strategy_id)))


def open_in_files(*, strategy_id: UUID) -> bool:
    """Say whether the other half can be read and is not set; only both together are an answer."""
    try:
        return not any(sentinel.is_set(scope) for scope in (EVERYTHING, str(strategy_id)))
    except OSError:
        return False


def state_with(scope: str, row: KillSwitch | None) -> KillState:
    """Return the state of one scope for a list of them: its database half is at hand, only the file is looked for."""
    return _state([scope], {scope: row} if row is not None and row.active else {})


def _state(scopes: list[str], rows: Mapping[str, KillSwitch], *faults: str) -> KillState:
    """Join the switches that are set in the database with the files."""
    sources = list(faults)
    found: dict[str, KillState] = {}
    try:
        files = [scope for scope in scopes if sentinel.is_set(scope)]
    except OSError:
        files = []
        sources.append(f"{FILE} {UNREADABLE}")
    for scope in scopes:
        row = rows.get(scope)
        if row is not None:
            found[scope] = KillState(True, scope, row.reason, row.since, row.by)
        elif scope in files:
            note = sentinel.read(scope)
            found[scope] = KillState(True, scope, note.get("reason", ""), note.get("since"), note.get("by", ""))
    if rows:
        sources.append(DATABASE)
    if files:
        sources.append(FILE)
    if not sources:
        return KillState(False)
    first = next((found[scope] for scope in scopes if scope in found), KillState(True))
    return KillState(True, first.scope, first.reason, first.since, first.by, tuple(sorted(sources)))


def flatten_permit(client_order_id: str, found: KillState) -> FlattenPermit | None:
    """Return the leave of an order to pass the set switch `found`, or None. Never raises: what cannot be read is none.

    Only the widest scope that is set can give leave, and only while both halves can be read: who stops everything
    without closing positions also stops the closing of one strategy's.
    """
    if not found.active or any(source.endswith(UNREADABLE) for source in found.sources):
        return None
    permits = FlattenPermit.objects.filter(
        client_order_id=client_order_id,
        sweep__scope=found.scope,
        sweep__flatten=True,
        sweep__resumed_at__isnull=True,
    )
    try:
        return permits.first()
    except DatabaseFault:
        return None


def assert_open(*, strategy_id: UUID | None, client_order_id: str | None = None) -> None:
    """Return only when both halves can be read and say that orders of this strategy may leave.

    Args:
        client_order_id: the order that is about to leave; one that closes a position for the kill itself passes.

    Raises:
        KillSwitchActive: otherwise.
    """
    found = state(strategy_id=strategy_id)
    if found.active and (client_order_id is None or flatten_permit(client_order_id, found) is None):
        raise KillSwitchActive(found.detail, extra={"scope": found.scope, "sources": list(found.sources)})
