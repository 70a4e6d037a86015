"""The tools that there are, by name."""

from collections.abc import Iterable, Mapping

from agents.team.words import ToolSpec
from agents.tools.account import GET_LIMITS, GET_POSITION
from agents.tools.base import Tool
from agents.tools.outside import GET_FUNDAMENTALS, GET_NEWS
from agents.tools.prices import GET_BARS, GET_INDICATORS

TOOLS: Mapping[str, Tool] = {
    tool.name: tool for tool in (GET_BARS, GET_INDICATORS, GET_POSITION, GET_LIMITS, GET_NEWS, GET_FUNDAMENTALS)
}


def tool_specs(names: Iterable[str] | None = None) -> dict[str, ToolSpec]:
    """Return the tools as a model sees them, all of them or those of `names`.

    Raises:
        KeyError: for a name that no tool has.
    """
    chosen = TOOLS if names is None else {name: TOOLS[name] for name in names}
    return {tool.name: ToolSpec(tool.name, tool.description, tool.parameters) for tool in chosen.values()}
