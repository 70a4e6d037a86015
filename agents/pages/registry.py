"""The agents of the desk, what they contributed lately, and how it turned out."""

from collections.abc import Mapping
from typing import Any

from agents.models import Agent
from agents.pages.turns import dollars
from agents.performance import USUAL
from agents.selectors import agent_list, agents_performance, period_asked

# Later returns that the list shows, in bars.
SHOWN_AFTER = 5
MOST = 200


def agents_page() -> dict[str, Any]:
    """Return the context of the list: registered agents, and members of teams that spoke under their own names."""
    registered = {agent.name: agent for agent in agent_list().order_by("name")[:MOST]}
    figures = {row["agent_name"]: row for row in agents_performance(period_asked(None))}
    names = sorted({*registered, *figures}, key=str.lower)
    return {
        "agents": [_row(name, registered.get(name), figures.get(name)) for name in names[:MOST]],
        "hidden": max(len(names) - MOST, 0),
        "days": USUAL.days,
        "bars": SHOWN_AFTER,
    }


def _row(name: str, agent: Agent | None, figures: Mapping[str, Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "agent": agent, "figures": figures}
    if figures is None:
        return row
    later = next(one for one in figures["later_returns"] if one["bars"] == SHOWN_AFTER)
    advised = figures["recommendations"]
    return row | {
        "later": later,
        "influence": figures["decisions_influenced"] / advised if advised else None,
        "cost": "" if figures["cost"] is None else dollars(figures["cost"]),
        "known_cost": dollars(figures["known_cost"]) if figures["known_cost"] else "",
    }
