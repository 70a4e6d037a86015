"""`manage.py kill_switch` works beside the site."""

from io import StringIO

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.core.management import CommandError, call_command

from safety import killswitch
from safety.models import KillSwitchEvent
from tests.safety.cases import STRATEGY
from tests.safety.conftest import unreachable

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("kill_switch", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_on_status_off_and_status_again(operator: AbstractBaseUser) -> None:
    assert run("status") == "all: clear\n"
    assert "Halted by: database, file." in run("on", "--reason", "too fast")
    status = run("status")
    assert status.startswith("all: HALTED since ")
    assert "too fast" in status
    assert "Resumed." in run("off", "--reason", "checked", "--user", "operator")
    assert not killswitch.state().active
    assert list(KillSwitchEvent.objects.order_by("id").values_list("action", flat=True)) == ["killed", "resumed"]


def test_one_strategy_is_stopped_by_its_id() -> None:
    run("on", "--scope", str(STRATEGY))
    assert killswitch.state(strategy_id=STRATEGY).active
    assert not killswitch.state().active


def test_it_stops_everything_while_the_database_is_gone() -> None:
    with unreachable():
        assert "the database did not take it" in run("on", "--reason", "no database")
    assert killswitch.state().sources == ("file",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["off", "--reason", "x"], "--user"),
        (["off", "--reason", "x", "--user", "nobody"], "no active user"),
        (["off", "--reason", "x", "--user", "trader"], "RESUME_NEEDS_PERSON"),
        (["off", "--user", "operator"], "reason"),
        (["on", "--scope", "half"], "scope"),
    ],
)
def test_a_wrong_call_says_what_is_missing(
    operator: AbstractBaseUser, trader: AbstractBaseUser, arguments: list[str], message: str
) -> None:
    before = killswitch.state()
    if arguments[0] == "off":
        run("on")
        before = killswitch.state()
    with pytest.raises(CommandError, match=message):
        run(*arguments)
    assert killswitch.state() == before
