"""What the agents' app does in the background: judging what was advised, forgetting old conversations, looking after
the agents' health."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet

from agents.models import AgentConversation
from agents.services import agents_check, returns_fill
from tradingsite.common import background, housekeeping
from tradingsite.common.clock import utcnow

# Who is due is looked for oftener than each is asked, so that a new agent is asked soon.
HEALTH_LOOKED_EVERY_S = 30.0
HEALTH_ASKED_EVERY = timedelta(minutes=5)


def judge() -> int:
    """Fill in how recommendations turned out."""
    return returns_fill(wall=utcnow())


def conversations_old(now: datetime) -> QuerySet[AgentConversation]:
    """Return the messages that are kept no longer; what was advised and decided stays."""
    if settings.AGENT_CONVERSATIONS_DAYS <= 0:
        return AgentConversation.objects.none()
    return AgentConversation.objects.filter(timestamp__lt=now - timedelta(days=settings.AGENT_CONVERSATIONS_DAYS))


def look() -> object:
    """Ask the agents that were not asked for a while."""
    return agents_check(rested=HEALTH_ASKED_EVERY)


def register() -> None:
    """Register the duties; each is safe in any number of processes at once."""
    background.register("agents.judge", judge, every_s=60)
    background.register("agents.health", look, every_s=HEALTH_LOOKED_EVERY_S)
    housekeeping.register("agent_conversations", conversations_old)
