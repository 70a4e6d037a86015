"""What safety does in the background of every process that carries work."""

from safety import services
from tradingsite.common import background


def register() -> None:
    """Register the duty; it is safe in any number of processes at once."""
    background.register("safety.kill_switch", services.halves_mend, every_s=1)
