from django.apps import AppConfig


class ExecutionsConfig(AppConfig):
    name = "executions"

    def ready(self) -> None:
        from executions import alert_sources, endings, heartbeat, rollup, tasks, watchdog
        from executions.calls import QUEUE, TASK
        from executions.kafka import wiring
        from executions.payloads import payloads_unused
        from executions.selectors import workflow_statistics
        from tradingsite.common import background, health, housekeeping, pulled
        from workflows.hooks import install_execution_statistics

        background.register("executions.watchdog", watchdog.tick, every_s=watchdog.EVERY_S)
        background.register("executions.heartbeat", heartbeat.beat, every_s=heartbeat.EVERY_S)
        background.register("executions.endings", endings.settle, every_s=endings.EVERY_S)
        background.register("executions.metrics", rollup.keep, every_s=rollup.EVERY_S)
        housekeeping.register("payloads", payloads_unused)
        pulled.register(pulled.Pulled(TASK, QUEUE, tasks.crew.idle))
        health.register_check("workers", heartbeat.health)
        wiring.install()
        alert_sources.register()
        install_execution_statistics(workflow_statistics)
