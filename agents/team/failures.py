"""How a conversation ends without a decision of its own: always by one exception that carries a code."""

from agents.team.words import Code


class TalkEnded(Exception):
    """The team comes to no decision; `code` and `detail` say why, in words that may be stored and shown."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class ModelFailed(TalkEnded):
    """A model did not answer, or not with what can be used. What clients raise, whatever their library raises."""


class BudgetSpent(TalkEnded):
    """What a conversation may use is used up."""
