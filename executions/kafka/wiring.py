"""What the site does differently when runs go by Kafka."""

from django.conf import settings

from executions.kafka.keeping import messages_past_their_time, parked_past_their_time
from executions.kafka.words import EVENT_TASK
from tradingsite.common import health, housekeeping, routes
from tradingsite.common.models import OutboxMessage


def install() -> None:
    """Register the routes, the health check and the housekeeping; called once, when the app is ready."""
    # Here, so that a desk without Kafka does not load its client.
    if settings.EXECUTION_TRANSPORT == "kafka":
        from executions.kafka import checks, producing  # noqa: F401  # system checks register on import
        from executions.kafka.health import health as kafka_health

        for route in producing.routes():
            routes.register(route)
        health.register_check("kafka", kafka_health)
    else:
        # Nobody will fetch what was still to be told when the desk went back to Celery.
        left = OutboxMessage.objects.filter(task=EVENT_TASK, published_at=None)
        housekeeping.register("run_events", lambda now: left.filter(created_at__lt=now))
    housekeeping.register("kafka_inbox", messages_past_their_time)
    housekeeping.register("kafka_parked", parked_past_their_time)
