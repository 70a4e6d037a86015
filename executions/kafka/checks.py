"""Start-up checks of what the environment hands on to librdkafka."""

from collections.abc import Sequence

from confluent_kafka import KafkaException, Producer
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from executions.kafka.clients import OURS, given


@register()
def check_kafka(app_configs: Sequence[AppConfig] | None = None, **kwargs: object) -> list[CheckMessage]:
    """Report `desk.E018` for settings that must stay as they are, `desk.E019` for those that librdkafka refuses."""
    ours = sorted(OURS & set(settings.KAFKA_CONFIG))
    if ours:
        return [Error(f"KAFKA_CONFIG sets {', '.join(ours)}.", hint="The desk sets these itself.", id="desk.E018")]
    try:
        # Without an address it looks at the settings and calls nobody.
        Producer({**given(), "log_level": 0})
    except KafkaException as error:
        # Not the whole text of other kinds of errors: a value may be a password.
        return [Error(f"KAFKA_CONFIG: {error.args[0].str()}.", id="desk.E019")]
    return []
