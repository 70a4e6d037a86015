from agents.api.views import AgentViewSet
from tradingsite.common.api.routing import Router

router = Router()
router.register("agents", AgentViewSet, "agent")

urlpatterns = [*router.urls]
