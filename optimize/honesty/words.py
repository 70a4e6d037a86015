"""Figures as people read them."""

INVENTED = "The prices are generated: what does well on them says nothing about any market."


def percent(value: float) -> str:
    """Return a fraction in percent, with two decimals where they say something."""
    return f"{value * 100:.2f}".rstrip("0").rstrip(".") + " %"


def number(value: float) -> str:
    return f"{value:.2f}"


def count_of(count: int, noun: str) -> str:
    """Return "1 trade", "2 trades", "no trades"."""
    if not count:
        return f"no {noun}s"
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
