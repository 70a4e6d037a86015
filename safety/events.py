"""News of safety for the floors above: received in the process where it happened, after the commit.

Quick, not certain: a process that dies in between tells nobody. Whoever must not miss a kill also looks at the switch
itself, as the order service does before every call to a broker.
"""

from dataclasses import dataclass

from django.dispatch import Signal


@dataclass(frozen=True)
class KillSwitchChanged:
    """A scope was killed or resumed.

    Attributes:
        scope: `all`, or the id of one strategy.
        active: True after a kill.
        written: False after a kill that the database did not take: it reads, at best.
    """

    scope: str
    active: bool
    reason: str
    by: str
    written: bool = True


# Receivers get `event=KillSwitchChanged(...)`.
kill_switch_changed = Signal()
