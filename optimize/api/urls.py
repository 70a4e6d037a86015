from optimize.api.views import OptimizationViewSet, OptimizeStrategyView
from tradingsite.common.api.routing import Router, route

router = Router()
router.register("optimize", OptimizationViewSet, "optimization")

urlpatterns = [
    route("optimize/strategy", OptimizeStrategyView, "optimize-strategy"),
    *router.urls,
]
