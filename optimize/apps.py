from django.apps import AppConfig


class OptimizeConfig(AppConfig):
    name = "optimize"

    def ready(self) -> None:
        from optimize import retention, warming, watchdog
        from optimize.adaptation import looking, rounds
        from optimize.adaptation.kind import AdaptationSearch
        from optimize.inspection.lookahead import Lookahead
        from optimize.inspection.parity import LiveParity
        from optimize.inspection.recursive import Recursive
        from optimize.modelling.kind import ModelTuning
        from optimize.modelling.strategy import MODEL_COLUMN, MODEL_STRATEGY
        from optimize.walkforward.kind import StrategySearch
        from optimize.work import kinds
        from tradingsite.common import background
        from workflows.strategies import column_sources, strategy_types

        warming.keep_kernels()
        retention.register()
        for kind in (StrategySearch(), ModelTuning(), Lookahead(), Recursive(), LiveParity(), AdaptationSearch()):
            kinds.register(kind)
        column_sources.register(MODEL_COLUMN)
        strategy_types.register(MODEL_STRATEGY)
        background.register("optimize.watchdog", watchdog.tick, every_s=watchdog.EVERY_S)
        background.register("optimize.rounds", rounds.settle, every_s=rounds.EVERY_S)
        background.register("optimize.looking", looking.tick, every_s=looking.EVERY_S)
        background.register("optimize.warming", warming.warm_worker, every_s=warming.EVERY_S)
