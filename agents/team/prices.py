"""What an answer of a model costs. What is not known is None, never free."""

from decimal import Decimal

from agents.pricing import prices
from agents.team.words import Member, Provider

_MILLION = Decimal(1_000_000)


def price_known(model: str) -> bool:
    """Say whether the settings name a price of `model`, be it nothing."""
    return model in prices()


def cost_of(member: Member, prompt: int | None, completion: int | None) -> Decimal | None:
    """Return what one answer of the member's model cost, in US dollars.

    The desk's own rules and what is said again ask nobody, so they cost nothing. A model on this machine costs nothing
    only where the settings say so.

    Args:
        prompt, completion: the tokens of the question and of the answer; None where the API does not tell.
    """
    if member.model.provider is not Provider.OPENAI:
        return Decimal(0)
    price = prices().get(member.model.model)
    if price is None:
        return None
    if not any(price):
        return Decimal(0)
    if prompt is None or completion is None:
        return None
    return (price.prompt * prompt + price.completion * completion) / _MILLION
