"""Agents to register, and a program at an address that answers as a test tells it."""

from typing import Any

import pytest

from tradingsite.common.actor import Actor

SYSTEM = Actor.system("tests")


@pytest.fixture
def body() -> dict[str, Any]:
    """A valid body of an agent at an address."""
    return {
        "name": "NewsDesk",
        "kind": "http",
        "description": "Reads the news.",
        "endpoint": "https://agents.example.com/decide",
        "tools": ["search_news"],
    }
