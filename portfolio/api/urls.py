from portfolio.api.goals import GoalViewSet
from portfolio.api.views import EquityView, FillViewSet, OrderViewSet, PortfolioView, PositionsView
from tradingsite.common.api.routing import Router, route

router = Router()
router.register("portfolio/orders", OrderViewSet, "order")
router.register("portfolio/fills", FillViewSet, "fill")
router.register("portfolio/goals", GoalViewSet, "goal")

urlpatterns = [
    *router.urls,
    route("portfolio/positions", PositionsView, "portfolio-positions"),
    route("portfolio/equity", EquityView, "portfolio-equity"),
    route("portfolio", PortfolioView, "portfolio"),
]
