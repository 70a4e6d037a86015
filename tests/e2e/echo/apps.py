from django.apps import AppConfig


class EchoConfig(AppConfig):
    """A broker that delivers each message three times, as brokers may."""

    name = "tests.e2e.echo"
    label = "echo"

    def ready(self) -> None:
        from tradingsite.common import relay

        publish = relay._publish

        def three_times(message: relay.OutboxMessage) -> None:
            for _ in range(3):
                publish(message)

        relay._publish = three_times
