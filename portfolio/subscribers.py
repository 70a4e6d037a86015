"""What the portfolio does at once when something happens on a floor below."""

from typing import Any

from django.dispatch import receiver

from portfolio import services
from safety.events import KillSwitchChanged, kill_switch_changed
from tradingsite.common.clock import utcnow


@receiver(kill_switch_changed, dispatch_uid="resting orders end with a kill")
def cancel_resting_orders(event: KillSwitchChanged, **_: Any) -> None:
    """Cancel what rests, in the process of the kill: the duty that would do it comes round only every two seconds."""
    if event.active:
        services.orders_settle(wall=utcnow())
