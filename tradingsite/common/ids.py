"""Identifiers: time-ordered UUIDs, made here and checked when they come from the outside."""

import os
import threading
import time
import uuid

from tradingsite.common.errors import FieldError, ValidationFailed

_lock = threading.Lock()
_last_tick = 0


def uuid7() -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562, section 5.7), strictly increasing within a process.

    48 bits of Unix milliseconds, then 12 bits of sub-millisecond fraction (method 3 of section 6.2), then 62 random bits.
    """
    global _last_tick
    with _lock:
        # One tick is 1/4096 ms; never going back keeps the order of creation also within a tick and when the clock steps.
        tick = max((time.time_ns() << 12) // 1_000_000, _last_tick + 1)
        _last_tick = tick
    value = (tick >> 12 & (1 << 48) - 1) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64
    value |= 0b10 << 62 | int.from_bytes(os.urandom(8)) & (1 << 62) - 1
    return uuid.UUID(int=value)


def parse_uuid(value: object, pointer: str) -> uuid.UUID:
    """Return `value` as a UUID.

    Raises:
        ValidationFailed: naming `pointer`, when it is not the text of a UUID.
    """
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(str(value))
    except ValueError:
        raise ValidationFailed(errors=[FieldError(pointer, "invalid", "Must be a UUID.")]) from None
