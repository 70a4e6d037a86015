from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"
    verbose_name = "Agents"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from agents import duties, keys, pricing  # noqa: F401  # system checks register on import
        from agents.autonomous import proposals, runs
        from executions import endings
        from tradingsite.common import background

        duties.register()
        endings.register(runs.runs_ended)
        background.register("agents.proposals", proposals.proposals_expire, every_s=proposals.EVERY_S)
        background.register("agents.approvals", proposals.approvals_carry_on, every_s=proposals.EVERY_S)
