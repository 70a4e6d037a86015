from agents.api.autonomous import AgentLogViewSet, AgentRunStartView, AgentRunViewSet, AgentView, ProposalViewSet
from agents.api.views import AgentTemplatesView, AgentViewSet, ConversationViewSet
from tradingsite.common.api.routing import Router, route

router = Router()
router.register("agents", AgentViewSet, "agent")
router.register("agent/runs", AgentRunViewSet, "agent-run")
router.register("agent/logs", AgentLogViewSet, "agent-log")
router.register("agent/proposals", ProposalViewSet, "agent-proposal")
# Runs, under both of their names.
for runs in ("workflow-executions", "runs"):
    router.register(rf"{runs}/(?P<execution_id>[^/]+)/agent-conversation", ConversationViewSet, f"{runs}-conversation")

urlpatterns = [
    route("agent", AgentView, "autonomous-agent"),
    route("agent/run", AgentRunStartView, "agent-run-start"),
    *router.urls,
    route("autogen/agent-templates", AgentTemplatesView, "agent-templates"),
]
