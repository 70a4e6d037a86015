"""The words of agents and of what is said with them."""

from django.db import models


class AgentKind(models.TextChoices):
    """What stands behind an agent: a language model, a program at an address, a rule of the desk."""

    LLM = "llm", "Language model"
    HTTP = "http", "Program at an address"
    RULE = "rule", "Rule of the desk"


class HealthStatus(models.TextChoices):
    """What the last probe said."""

    UNKNOWN = "unknown", "Not probed"
    OK = "ok", "Answers"
    FAILED = "failed", "Does not answer as it should"


class MessageType(models.TextChoices):
    """What one message of a conversation is."""

    REQUEST = "request", "Request"
    RESPONSE = "response", "Response"
    TOOL_CALL = "tool_call", "Tool call"
    TOOL_RESULT = "tool_result", "Result of a tool"
    ERROR = "error", "Error"


class Action(models.TextChoices):
    """What an agent advises, and what a team decides."""

    BUY = "BUY", "Buy"
    SELL = "SELL", "Sell"
    HOLD = "HOLD", "Hold"
