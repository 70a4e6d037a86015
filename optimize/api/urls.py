from optimize.api.inspection import LookaheadView, ParityView, RecursiveView, StrategyBacktestView
from optimize.api.models import OptimizeModelView, TunedModelViewSet
from optimize.api.views import OptimizationViewSet, OptimizeStrategyView
from tradingsite.common.api.routing import Router, route

router = Router()
router.register("optimize", OptimizationViewSet, "optimization")
router.register("models", TunedModelViewSet, "tuned-model")

urlpatterns = [
    route("optimize/strategy", OptimizeStrategyView, "optimize-strategy"),
    route("optimize/lookahead", LookaheadView, "optimize-lookahead"),
    route("optimize/recursive", RecursiveView, "optimize-recursive"),
    route("optimize/parity", ParityView, "optimize-parity"),
    route("strategies/(?P<strategy_id>[^/]+)/backtest", StrategyBacktestView, "strategy-backtest"),
    route("optimize/model", OptimizeModelView, "optimize-model"),
    *router.urls,
]
