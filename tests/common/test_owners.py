"""Whose thing it is decides who may change it; an operator may change what others made, the desk everything."""

import contextlib

import pytest

from tradingsite.common.actor import Actor
from tradingsite.common.errors import PermissionDenied
from tradingsite.common.owners import require_owner
from tradingsite.common.roles import Role

TRADER = Actor(kind="user", name="trader", user_id=1, role=Role.TRADER)
KEY = Actor(kind="api_key", name="key", user_id=1, role=Role.TRADER)
OPERATOR = Actor(kind="user", name="operator", user_id=2, role=Role.OPERATOR)
SYSTEM = Actor.system("clock")
NOBODY = Actor(kind="api_key", name="orphan", user_id=None, role=Role.TRADER)


@pytest.mark.parametrize(
    ("actor", "created_by_id", "may"),
    [
        (TRADER, 1, True),
        (TRADER, 2, False),
        (TRADER, None, False),
        (KEY, 1, True),
        (KEY, 2, False),
        (OPERATOR, 1, True),
        (OPERATOR, None, True),
        (SYSTEM, 1, True),
        (SYSTEM, None, True),
        (NOBODY, 1, False),
        (NOBODY, None, False),
    ],
)
def test_a_person_changes_its_own_an_operator_also_others_and_the_desk_everything(
    actor: Actor, created_by_id: int | None, may: bool
) -> None:
    with contextlib.nullcontext() if may else pytest.raises(PermissionDenied):
        require_owner(actor=actor, created_by_id=created_by_id)
