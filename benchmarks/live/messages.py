"""What is sent on both sides: a step's news, as long as the desk's own, numbered by its last member."""

from typing import Any

EXECUTION = "01987c5e-7c1a-7d2f-9f4e-3a8b5c6d7e8f"


def step(number: int, sent: float, padding: int = 0) -> dict[str, Any]:
    """Return the body of event `number`; `sent` is when it was handed over, on the machine's monotonic clock."""
    return {
        "index": number % 10,
        "name": "Compute signals",
        "status": "completed",
        "duration": 0.42,
        "attempts": 1,
        "summary": "10 symbols, 3 signals" + "." * padding,
        "sent": sent,
    }
