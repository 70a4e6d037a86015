"""How far a kill has come beyond the latch, in a sentence for people."""

from collections.abc import Mapping
from typing import Any

_SHOWN = 3


def progress_said(sweep: Mapping[str, Any]) -> str:
    """Say of a sweep, in the shape of `selectors.sweep_as_json`, what is confirmed or what is left."""
    what = "Nothing rests" + (" and every position is closed" if sweep["flatten"] else "")
    if sweep["confirmed_at"]:
        return f"{what}: confirmed after {sweep['confirmed_in_s']:.1f} s."
    left = sweep["remaining"]
    parts = [
        *(f"order {each['client_order_id']} rests" for each in left["orders"]),
        *(f"{each['quantity']} {each['symbol']} held {each['code']}".rstrip() for each in left["positions"]),
        *(f"the broker of {name} does not answer" for name in left["unreachable"]),
    ]
    more = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    found = f"{'; '.join(parts[:_SHOWN])}{more}" if parts else "it is looked at again"
    return f"Not confirmed yet that {what[0].lower()}{what[1:]}: {found}."
