"""What the members of a team may look at. Every tool reads; none writes, and none can place an order."""

from agents.tools.host import DeskHost
from agents.tools.registry import TOOLS, tool_specs

__all__ = ["TOOLS", "DeskHost", "tool_specs"]
