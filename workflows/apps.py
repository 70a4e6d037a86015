from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    name = "workflows"
    verbose_name = "Workflows"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from tradingsite.common.contracts.directories import directories
        from workflows.selectors import StrategyDirectory, WorkflowDirectory

        directories.register(StrategyDirectory())
        directories.register(WorkflowDirectory())
