"""Decide with a team of agents: registry, conversations, the autonomous loop."""
