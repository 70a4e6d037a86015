"""Giving one order leave to pass a set kill switch. Only what closes positions for the kill itself may import this.

Whoever can write a permit can trade on a halted desk, so there is one writer, and import-linter knows its name. The
gate and the last check before the broker read permits on their own: nobody tells them that an order is a closing.
"""

from decimal import Decimal
from uuid import UUID

from safety.models import FlattenPermit, KillSweep


def flatten_permit_give(
    *,
    sweep: KillSweep,
    account_id: UUID,
    strategy_id: UUID | None,
    symbol: str,
    side: str,
    quantity: Decimal,
    number: int,
) -> FlattenPermit:
    """Return the permit of the `number`-th order that closes this position; made once, whoever asks for it.

    The client order id follows from sweep, account, instrument and number, so that a process that takes over where
    another one died meets its order instead of making a second one.
    """
    permit, _ = FlattenPermit.objects.get_or_create(
        sweep=sweep,
        account_id=account_id,
        symbol=symbol,
        number=number,
        defaults={
            # At most 90 characters before the number, of the 100 that a client order id may have.
            "client_order_id": f"flatten-{sweep.pk.hex}-{account_id.hex}-{symbol}-{number}",
            "strategy_id": strategy_id,
            "side": side,
            "quantity": quantity,
        },
    )
    return permit
