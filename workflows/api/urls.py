from tradingsite.common.api.routing import Router, route
from workflows.api.catalogue import StepTypesView, StrategyTypesView, WorkflowTemplatesView
from workflows.api.strategies import StrategyViewSet
from workflows.api.views import WorkflowViewSet

router = Router()
router.register("workflows", WorkflowViewSet, "workflow")
router.register("strategies", StrategyViewSet, "strategy")

urlpatterns = [
    *router.urls,
    route("step-types", StepTypesView, "step-types"),
    route("strategy-types", StrategyTypesView, "strategy-types"),
    route("workflow-templates", WorkflowTemplatesView, "workflow-templates"),
]
