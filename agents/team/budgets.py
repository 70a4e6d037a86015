"""What a conversation has used of its budget: over all members, and over every round of tool calls."""

import time
from collections.abc import Callable
from decimal import Decimal

from agents.team.failures import BudgetSpent
from agents.team.words import Budget, Code

# An API that does not tell its tokens: no model makes more of a text than one for two characters.
CHARACTERS_A_TOKEN = 2


class Purse:
    """Counts what is used, and ends the conversation before the next call of a model or a tool.

    The answer that spends the rest still counts: it is paid for. `tokens` and `messages` count the answers of models;
    each call of a tool is a message too.
    """

    def __init__(self, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._clock = clock
        self._began = clock()
        self.tokens = 0
        self.messages = 0
        # None once something had no known price.
        self.cost: Decimal | None = Decimal(0)

    @property
    def seconds(self) -> float:
        """How long the conversation has lasted."""
        return self._clock() - self._began

    @property
    def seconds_left(self) -> float:
        return self._budget.seconds - self.seconds

    def answered(self, *, tokens: int | None, characters: int, cost: Decimal | None) -> None:
        """Count one answer.

        Args:
            tokens: of the question and the answer; None where the API does not tell.
            characters: of both, for what is not told.
            cost: in US dollars; None where the price or the tokens are not known.
        """
        self.messages += 1
        self.tokens += -(-characters // CHARACTERS_A_TOKEN) if tokens is None else tokens
        self.cost = None if cost is None or self.cost is None else self.cost + cost

    def tool_called(self) -> None:
        """Count one call of a tool.

        Raises:
            BudgetSpent: it may not be made any more.
        """
        self.check()
        self.messages += 1

    def check(self) -> None:
        """Return when another call may be made.

        Raises:
            BudgetSpent
        """
        budget = self._budget
        if self.seconds >= budget.seconds:
            raise self.out_of_time()
        if self.messages >= budget.messages:
            raise BudgetSpent(
                Code.BUDGET_MESSAGES,
                f"The team used its {budget.messages} messages without a decision. The desk holds.",
            )
        if budget.tokens is not None and self.tokens >= budget.tokens:
            raise BudgetSpent(
                Code.BUDGET_TOKENS,
                f"The team used {self.tokens:,} tokens of its {budget.tokens:,} without a decision. The desk holds.",
            )
        if budget.cost is not None and self.cost is None:
            raise BudgetSpent(
                Code.BUDGET_COST, "What the last answer cost is not known, so no budget holds it. The desk holds."
            )
        if budget.cost is not None and self.cost is not None and self.cost >= budget.cost > 0:
            raise BudgetSpent(
                Code.BUDGET_COST,
                f"The team used ${self.cost} of its ${budget.cost} without a decision. The desk holds.",
            )

    def out_of_time(self) -> BudgetSpent:
        """Return the end of a conversation whose time is up."""
        return BudgetSpent(
            Code.BUDGET_SECONDS, f"The team used its {self._budget.seconds:g} s without a decision. The desk holds."
        )
