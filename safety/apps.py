from django.apps import AppConfig


class SafetyConfig(AppConfig):
    name = "safety"
    verbose_name = "Safety"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from safety import subscribers  # noqa: F401  # connects on import
        from safety.alerting import duties, kill_events
        from safety.services import audit_row
        from tradingsite.common import audit

        audit.install_sink(audit_row)
        kill_events.register()
        duties.register()
