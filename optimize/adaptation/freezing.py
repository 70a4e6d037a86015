"""When no parameter may be changed: while the kill switch is active, or an account's books differ from its broker's."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth import get_user_model

from optimize.adaptation.models import LiveAdaptation
from safety import killswitch
from safety.errors import KillSwitchActive
from safety.models import KillSwitch
from safety.selectors import reconciliation_blocks
from tradingsite.common.actor import Actor
from tradingsite.common.roles import Role

RECONCILIATION_BLOCKED = "RECONCILIATION_BLOCKED"
OWNER_NOT_ALLOWED = "OWNER_NOT_ALLOWED"


@dataclass(frozen=True)
class Frozen:
    """Why nothing may be changed."""

    code: str
    detail: str


def frozen(strategy_id: UUID) -> Frozen | None:
    """Return why the parameters of a strategy may not be changed now; None when they may.

    A kill switch that cannot be read is active.
    """
    state = killswitch.state(strategy_id=strategy_id)
    return Frozen(KillSwitchActive.code, state.detail) if state.active else _blocked()


def frozen_each(strategy_ids: Iterable[UUID]) -> dict[UUID, Frozen | None]:
    """Return the same for many, in as many queries as for one."""
    ids = list(strategy_ids)
    whole = killswitch.state()
    if whole.active:
        return dict.fromkeys(ids, Frozen(KillSwitchActive.code, whole.detail))
    blocked = _blocked()
    rows = {row.scope: row for row in KillSwitch.objects.filter(scope__in=[str(one) for one in ids])}
    states = {one: killswitch.state_with(str(one), rows.get(str(one))) for one in ids}
    return {
        one: Frozen(KillSwitchActive.code, state.detail) if state.active else blocked for one, state in states.items()
    }


def _blocked() -> Frozen | None:
    block = reconciliation_blocks().first()
    return None if block is None else Frozen(RECONCILIATION_BLOCKED, f"{block.code}: {block.detail}")


def held(adaptation: LiveAdaptation) -> Frozen | None:
    """Return why the desk may not act by itself for an adaptation: it is frozen, or its owner may not trade any more."""
    owner_id = adaptation.created_by_id
    if owner_id is not None:
        owner = get_user_model().objects.filter(pk=owner_id).first()
        if owner is None or not Actor.for_user(owner).may(Role.TRADER):
            return Frozen(OWNER_NOT_ALLOWED, "Who started the adaptation may not trade any more; start one anew.")
    return frozen(adaptation.strategy_id)
