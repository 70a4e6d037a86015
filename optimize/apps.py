from django.apps import AppConfig


class OptimizeConfig(AppConfig):
    name = "optimize"

    def ready(self) -> None:
        from optimize import watchdog
        from tradingsite.common import background

        background.register("optimize.watchdog", watchdog.tick, every_s=watchdog.EVERY_S)
