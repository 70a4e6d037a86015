from django.apps import AppConfig


class OptimizeConfig(AppConfig):
    name = "optimize"

    def ready(self) -> None:
        from optimize import warming, watchdog
        from optimize.inspection.lookahead import Lookahead
        from optimize.inspection.parity import LiveParity
        from optimize.inspection.recursive import Recursive
        from optimize.modelling.kind import ModelTuning
        from optimize.walkforward.kind import StrategySearch
        from optimize.work import kinds
        from tradingsite.common import background

        for kind in (StrategySearch(), ModelTuning(), Lookahead(), Recursive(), LiveParity()):
            kinds.register(kind)
        background.register("optimize.watchdog", watchdog.tick, every_s=watchdog.EVERY_S)
        background.register("optimize.warming", warming.warm_worker, every_s=warming.EVERY_S)
