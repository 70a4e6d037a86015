"""`/ws/executions`: one run, or all of them."""

from urllib.parse import parse_qs

from channels.db import database_sync_to_async

from executions.errors import ExecutionNotFound
from executions.news import FEED, stream_of
from executions.selectors import execution_get
from tradingsite.common.errors import ValidationFailed
from tradingsite.common.ids import parse_uuid
from tradingsite.common.live.consumer import LiveConsumer


class ExecutionConsumer(LiveConsumer):
    """Messages `progress`, `step`, `log` and `status`; with `?execution_id=` those of one run."""

    feed = FEED

    async def stream_name(self) -> str | None:
        given = parse_qs(self.scope["query_string"].decode("latin-1")).get("execution_id")
        if not given:
            return None
        try:
            execution_id = parse_uuid(given[0], "execution_id")
            await database_sync_to_async(execution_get)(execution_id)
        except (ValidationFailed, ExecutionNotFound) as error:
            raise LookupError(str(error)) from error
        return stream_of(execution_id)
