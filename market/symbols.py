"""Which symbols there are."""

from collections.abc import Sequence

from market.models import Instrument
from tradingsite.common.writes import prepared_cursor


def symbols_known(symbols: Sequence[str]) -> set[str]:
    """Return those of `symbols` that an instrument has."""
    if not symbols:
        return set()
    table, places = Instrument._meta.db_table, ", ".join(["%s"] * len(symbols))
    # Asked before each run: making the query anew would cost more than asking.
    with prepared_cursor() as cursor:
        cursor.execute(f"SELECT symbol FROM {table} WHERE symbol IN ({places})", list(symbols))
        return {symbol for (symbol,) in cursor.fetchall()}
