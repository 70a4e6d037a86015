from agents.api.views import AgentViewSet, ConversationViewSet
from tradingsite.common.api.routing import Router

router = Router()
router.register("agents", AgentViewSet, "agent")
# Runs, under both of their names.
for runs in ("workflow-executions", "runs"):
    router.register(rf"{runs}/(?P<execution_id>[^/]+)/agent-conversation", ConversationViewSet, f"{runs}-conversation")

urlpatterns = [*router.urls]
