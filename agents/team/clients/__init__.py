"""The models that members think with, behind AutoGen's one interface. Those modules import AutoGen; this one does not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from agents.team.failures import ModelFailed
from agents.team.words import Code, Member, Provider, Task

if TYPE_CHECKING:
    from autogen_core.models import ChatCompletionClient

# Makes the model of a member for one conversation. Called in the engine's thread; raises ModelFailed.
Clients = Callable[[Member, Task], "ChatCompletionClient"]
# What an answer of the member's model cost in US dollars, by its tokens; None where the price or they are not known.
Cost = Callable[[Member, int | None, int | None], Decimal | None]
# Returns the secret in a variable, for the host of an address; raises LookupError when it is not to be had.
Keys = Callable[[str, str], str]


@dataclass(frozen=True)
class DeskClients:
    """The models of a team as the desk has them.

    Attributes:
        answers: of earlier conversations, by symbol and member, for those that say them again.
        unusable: why the desk cannot ask a member's model, by the member's name.
    """

    keys: Keys
    answers: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, member: Member, task: Task) -> "ChatCompletionClient":
        """Return the model of a member for one conversation.

        Raises:
            ModelFailed: MODEL_UNUSABLE.
        """
        if member.name in self.unusable:
            raise ModelFailed(Code.MODEL_UNUSABLE, self.unusable[member.name])
        if member.model.provider is Provider.OPENAI:
            from agents.team.clients.openai import openai_client

            return openai_client(member.model, keys=self.keys)
        if member.model.provider is Provider.REPLAY:
            from agents.team.clients.replay import ReplayClient

            return ReplayClient(self.answers.get((task.symbol, member.name), ()))
        from agents.team.clients.offline import OfflineClient

        return OfflineClient(member, task)
