from optimize.api.inspection import LookaheadView, ParityView, RecursiveView, StrategyBacktestView
from optimize.api.live import LiveAdaptationViewSet
from optimize.api.models import OptimizeModelView, TunedModelViewSet
from optimize.api.views import OptimizationViewSet, OptimizeStrategyView
from tradingsite.common.api.routing import Router, route

router = Router()
# Before the jobs, of which "live" would be an id.
router.register("optimize/live", LiveAdaptationViewSet, "live-adaptation")
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
