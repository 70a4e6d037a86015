from django.apps import AppConfig


class ExecutionsConfig(AppConfig):
    name = "executions"

    def ready(self) -> None:
        from executions import heartbeat, watchdog
        from executions.selectors import workflow_statistics
        from tradingsite.common import background, health
        from workflows.hooks import install_execution_statistics

        background.register("executions.watchdog", watchdog.tick, every_s=watchdog.EVERY_S)
        background.register("executions.heartbeat", heartbeat.beat, every_s=heartbeat.EVERY_S)
        health.register_check("workers", heartbeat.health)
        install_execution_statistics(workflow_statistics)
