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

        autodiscover_modules("steps", "jobs")
        step_types.freeze()
        job_types.freeze()
