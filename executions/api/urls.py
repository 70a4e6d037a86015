from executions.api.analytics import (
    WorkflowCompareView,
    WorkflowMetricsView,
    WorkflowTrendsView,
    WorkflowVersionsMetricsView,
)
from executions.api.batch import ExecuteBatchView
from executions.api.schedules import WorkflowScheduleView, WorkflowScheduleViewSet
from executions.api.tasks import TaskViewSet
from executions.api.views import ExecutionViewSet, StrategyExecuteView, WorkflowExecuteView
from tradingsite.common.api.routing import Router, route

router = Router()
router.register("workflow-executions", ExecutionViewSet, "workflow-execution")
router.register("runs", ExecutionViewSet, "run")
router.register("tasks", TaskViewSet, "task")
router.register("schedules", WorkflowScheduleViewSet, "schedule")

urlpatterns = [
    route("workflows/execute-batch", ExecuteBatchView, "workflow-execute-batch"),
    route("workflows/(?P<workflow_id>[^/]+)/execute", WorkflowExecuteView, "workflow-execute"),
    route("workflows/(?P<workflow_id>[^/]+)/schedule", WorkflowScheduleView, "workflow-schedule"),
    route("workflows/compare", WorkflowCompareView, "workflow-compare"),
    route("workflows/(?P<workflow_id>[^/]+)/metrics", WorkflowMetricsView, "workflow-metrics"),
    route("workflows/(?P<workflow_id>[^/]+)/metrics/trends", WorkflowTrendsView, "workflow-metrics-trends"),
    route(
        "workflows/(?P<workflow_id>[^/]+)/metrics/versions", WorkflowVersionsMetricsView, "workflow-metrics-versions"
    ),
    route("strategies/(?P<strategy_id>[^/]+)/execute", StrategyExecuteView, "strategy-execute"),
    *router.urls,
]
