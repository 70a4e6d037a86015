"""What the portfolio does at once when something happens on a floor below."""

import logging
from typing import Any

from django.db import Error as DatabaseFault
from django.dispatch import receiver

from portfolio import services
from safety.events import KillSwitchChanged, kill_switch_changed

logger = logging.getLogger(__name__)


@receiver(kill_switch_changed, dispatch_uid="resting orders end with a kill")
def begin_sweep(event: KillSwitchChanged, **_: Any) -> None:
    """Begin the sweep in the process of the kill: the duty that would do it comes round only every second."""
    if not event.active:
        return
    if event.written:
        services.sweeps_work(within_s=services.AT_ONCE_S)
        return
    try:
        services.brokers_clear(scope=event.scope, within_s=services.AT_ONCE_S)
    except DatabaseFault as error:
        logger.warning("no broker can be cleared while the database says nothing of accounts: %s", error)
