from optimize.api.inspection import LookaheadView, ParityView, RecursiveView, StrategyBacktestView
from optimize.api.views import OptimizationViewSet, OptimizeStrategyView
from tradingsite.common.api.routing import Router, route

router = Router()
router.register("optimize", OptimizationViewSet, "optimization")

urlpatterns = [
    route("optimize/strategy", OptimizeStrategyView, "optimize-strategy"),
    route("optimize/lookahead", LookaheadView, "optimize-lookahead"),
    route("optimize/recursive", RecursiveView, "optimize-recursive"),
    route("optimize/parity", ParityView, "optimize-parity"),
    route("strategies/(?P<strategy_id>[^/]+)/backtest", StrategyBacktestView, "strategy-backtest"),
    *router.urls,
]
