from django.apps import AppConfig


class PortfolioConfig(AppConfig):
    name = "portfolio"
    verbose_name = "Portfolio"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Subscribers connect on import.
        from portfolio import alert_facts, clearing, duties, reconciled, reconciliation, subscribers  # noqa: F401
        from safety import comparison

        alert_facts.register()
        duties.register()
        reconciled.install(reconciliation.reconcile_at_start)
        comparison.install(clearing.account_compare)
