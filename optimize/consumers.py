"""`/ws/optimize`: how far one's own optimisations are; an operator hears of everybody's."""

from optimize.news import FEED, stream_of
from tradingsite.common.live.consumer import LiveConsumer
from tradingsite.common.roles import Role


class OptimizeConsumer(LiveConsumer):
    """Messages `progress` {job_id, combo, total, fold, n_folds, status}, at most ten a second of each job."""

    feed = FEED

    async def stream_name(self) -> str | None:
        assert self.actor is not None
        return None if self.actor.may(Role.OPERATOR) else stream_of(self.actor.user_id)
