"""Routes of safety."""

from django.urls import re_path

from safety.alerting.api.views import AlertRuleViewSet
from safety.api import views
from tradingsite.common.api.routing import Router, route

router = Router()
router.register("safety/decisions", views.DecisionViewSet, "gate-decision")
router.register("safety/history", views.KillEventViewSet, "kill-event")
router.register("alerts/history", views.AlertHistoryViewSet, "alert-history")
router.register("alerts", AlertRuleViewSet, "alert")
router.register("audit", views.AuditViewSet, "audit")

urlpatterns = [
    route("safety", views.SafetyView, "safety"),
    route("safety/kill", views.KillView, "safety-kill"),
    route("safety/resume", views.ResumeView, "safety-resume"),
    route("safety/breaker/resume", views.BreakerResumeView, "safety-breaker-resume"),
    route("safety/reconciliation/clear", views.ReconciliationClearView, "safety-reconciliation-clear"),
    route("safety/limits", views.LimitsView, "safety-limits"),
    route(r"safety/limits/(?P<scope>[^/]+)/(?P<key>[^/]+)", views.ScopedLimitsView, "safety-scoped-limits"),
    re_path(
        r"^alerts/history/(?P<pk>[^/]+)/acknowledge/?$",
        views.AlertHistoryViewSet.as_view({"post": "acknowledge"}),
        name="alert-history-acknowledge",
    ),
    *router.urls,
]
