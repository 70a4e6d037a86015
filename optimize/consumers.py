"""`/ws/optimize`: how far one's own optimisations are, and what adaptations see and do; an operator hears of everybody's."""

from optimize.news import FEED, stream_of
from tradingsite.common.live.consumer import LiveConsumer
from tradingsite.common.roles import Role


class OptimizeConsumer(LiveConsumer):
    """Messages, each with the number by which a client that was away asks for what it missed:

    - `progress` {job_id, combo, total, fold, n_folds, status}, at most ten a second of each job;
    - `regime_change` {strategy_id, regime_type, value, before, measure, symbol, bar_time, triggered, code, reason,
      adaptation_id}: `value` is the new regime; `code` and `reason` say why it began no round;
    - `adaptation_result` {strategy_id, proposed_params, status, applied_params, event, about, adaptation_id}: one for
      every event of the history, also for rounds that found nothing (`proposed_params` is null then).
    """

    feed = FEED

    async def stream_name(self) -> str | None:
        assert self.actor is not None
        return None if self.actor.may(Role.OPERATOR) else stream_of(self.actor.user_id)
