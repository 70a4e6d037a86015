"""Preparing the desk: idempotent, so that every start may call it."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import transaction

from market.models import BarSeries
from market.services import bars_import_source
from market.sources import demo
from portfolio.services import account_ensure_default
from tradingsite.common.actor import Actor
from tradingsite.common.roles import Role
from workflows.demo import demo_desk_create

ADMIN = "admin"
SAMPLE = "sample"
# Many look for it first, and the sample ends in 2013; whoever brings real prices of it has those as its default.
GENERATED = "SPY"


@dataclass(frozen=True)
class SetupReport:
    """What the set-up did.

    Attributes:
        password: the admin's password when it was set just now, else None: it is stored only as a hash.
        first_start: whether the admin was made just now.
    """

    password: str | None
    first_start: bool


def desk_setup(*, write: Callable[[str], object]) -> SetupReport:
    """Bring the database up to date and make what a new desk needs; what is there stays as it is.

    Args:
        write: takes a line for the person at the terminal.
    """
    call_command("migrate", interactive=False, verbosity=0)
    report = _admin_ensure()
    actor = Actor.for_user(get_user_model().objects.get(username=ADMIN))
    account_ensure_default(actor=actor)
    if not BarSeries.objects.filter(source__slug=SAMPLE).exists():
        write("Loading the sample prices: AAPL, FB, GOOG, IBM, MSFT, daily, 2000 to 2013.")
        bars_import_source(actor=actor, source=SAMPLE)
    if not BarSeries.objects.filter(instrument__symbol=GENERATED).exists():
        write(f"Entering {GENERATED} of the generated market, daily, from 2015 on: invented prices.")
        bars_import_source(actor=actor, source=demo.SLUG, symbols=[GENERATED])
    demo_desk_create(actor=actor)
    return report


@transaction.atomic
def _admin_ensure() -> SetupReport:
    users = get_user_model().objects
    given = os.environ.get("ADMIN_PASSWORD", "")
    user = users.filter(username=ADMIN).first()
    if user is None:
        password = given or secrets.token_urlsafe(12)
        user = users.create_superuser(username=ADMIN, password=password)
        user.groups.add(Group.objects.get(name=Role.ADMIN.slug))
        return SetupReport(password=password, first_start=True)
    if given and not user.check_password(given):
        user.set_password(given)
        user.save(update_fields=["password"])
        return SetupReport(password=given, first_start=False)
    return SetupReport(password=given or None, first_start=False)
