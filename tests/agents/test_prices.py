"""What models cost: by the settings alone, exactly, and never free because it is not known."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.pricing import check_prices, prices_read
from agents.team.prices import cost_of, price_known
from agents.team.words import Member, ModelRef, Provider, Role

TABLE = '{"small": {"prompt": 0.15, "completion": "0.60"}, "local": {"prompt": 0, "completion": 0}}'


def member(model: str, provider: Provider = Provider.OPENAI) -> Member:
    return Member("Analyst", Role.ANALYST, "You analyse.", model=ModelRef(provider=provider, model=model))


def test_an_answer_costs_what_its_tokens_cost(settings: Any) -> None:
    settings.AGENT_PRICES = TABLE
    assert cost_of(member("small"), 1_000, 200) == Decimal("0.00027")
    assert (price_known("small"), price_known("large")) == (True, False)


def test_what_is_not_known_is_not_free(settings: Any) -> None:
    settings.AGENT_PRICES = TABLE
    assert cost_of(member("large"), 10, 10) is None
    assert cost_of(member("small"), None, 10) is None
    assert cost_of(member("small"), 10, None) is None
    settings.AGENT_PRICES = ""
    assert cost_of(member("local"), 10, 10) is None


def test_free_is_what_is_declared_so_and_what_asks_nobody(settings: Any) -> None:
    settings.AGENT_PRICES = TABLE
    assert cost_of(member("local"), None, None) == 0
    assert cost_of(member("desk-rules", Provider.OFFLINE), None, None) == 0
    assert cost_of(member("small", Provider.REPLAY), 10, 10) == 0


def test_prices_may_stand_in_a_file(settings: Any, tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(TABLE)
    settings.AGENT_PRICES = str(file)
    assert cost_of(member("small"), 1_000_000, 0) == Decimal("0.15")


@given(st.integers(0, 10**8), st.integers(0, 10**8), st.decimals(0, 1000, places=4), st.decimals(0, 1000, places=4))
def test_two_answers_cost_what_each_costs(prompt: int, completion: int, a: Decimal, b: Decimal) -> None:
    table = f'{{"m": {{"prompt": "{a}", "completion": "{b}"}}}}'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agents.team.prices.prices", lambda: prices_read(table))
        whole = cost_of(member("m"), prompt, completion)
        parts = cost_of(member("m"), prompt, 0), cost_of(member("m"), 0, completion)
    assert None not in (whole, *parts)
    assert whole == sum(part for part in parts if part is not None)
    assert whole >= 0  # type: ignore[operator]  # asserted above


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "7", "/nowhere/prices.json", '{"m": 7}', '{"m": {"prompt": 1}}', '{"m": {"prompt": -1, "completion": 0}}',
        '{"m": {"prompt": "NaN", "completion": 0}}', '{"m": {"prompt": "a", "completion": 0}}',
        '{"m": {"prompt": true, "completion": 0}}', '{"m": {"prompt": 1000000, "completion": 0}}',
        '{"m": {"prompt": 1, "completion": 1, "cached": 1}}', '{"m": {"prompt": Infinity, "completion": 0}}',
    ],
)  # fmt: skip
def test_prices_that_mean_nothing_stop_the_start(settings: Any, text: str) -> None:
    settings.AGENT_PRICES = text
    [error] = check_prices()
    assert (error.id, error.msg.startswith("AGENT_PRICES: ")) == ("desk.E031", True)
    settings.AGENT_PRICES = TABLE
    assert check_prices() == []
