from django.apps import AppConfig


class PortfolioConfig(AppConfig):
    name = "portfolio"
    verbose_name = "Portfolio"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from portfolio import alert_facts, duties, subscribers  # noqa: F401  # subscribers connect on import

        alert_facts.register()
        duties.register()
