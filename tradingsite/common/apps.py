from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class CommonConfig(AppConfig):
    name = "tradingsite.common"
    label = "common"
    verbose_name = "Foundations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from tradingsite.common import checks, setting_checks  # noqa: F401  # system checks register on import
        from tradingsite.common.contracts.jobs import job_types
        from tradingsite.common.contracts.steps import step_types
        from tradingsite.common.webhooks import duties
        from tradingsite.common.webhooks.event_types import event_types

        autodiscover_modules("steps", "jobs", "webhooks")
        step_types.freeze()
        job_types.freeze()
        event_types.freeze()
        duties.register()
