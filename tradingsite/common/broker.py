"""What Celery's broker says of itself."""

from celery import current_app
from kombu.exceptions import OperationalError


def waiting(queue: str) -> int | None:
    """Return how many messages lie in `queue`, those taken by a worker not counted; None when nobody answers."""
    with current_app.connection_for_read() as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0)
            with connection.channel() as channel:
                return int(channel.queue_declare(queue=queue, passive=True).message_count)
        except connection.channel_errors:
            # Redis knows no empty queue.
            return 0
        except (OperationalError, OSError, *connection.connection_errors):
            return None
