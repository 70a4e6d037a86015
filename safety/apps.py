from django.apps import AppConfig


class SafetyConfig(AppConfig):
    name = "safety"
    verbose_name = "Safety"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from safety import duties, subscribers  # noqa: F401  # subscribers connect on import
        from safety.alerting import duties as alert_duties
        from safety.alerting import kill_events
        from safety.services import audit_row
        from tradingsite.common import audit

        audit.install_sink(audit_row)
        kill_events.register()
        alert_duties.register()
        duties.register()
