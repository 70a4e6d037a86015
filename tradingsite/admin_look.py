"""How the admin looks: the sidebar, the colours, the label of the wiring. The settings import this, so it imports no app."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

# The order of the sidebar, and the words above each group.
GROUPS: Mapping[str, str] = {
    "executions": "Runs",
    "workflows": "Workflows and strategies",
    "portfolio": "Portfolio",
    "safety": "Safety",
    "market": "Market data",
    "agents": "Agents",
    "optimize": "Optimisation",
    "scheduler": "Schedules",
    "django_celery_beat": "Clock of the workers",
    "auth": "People",
    "common": "Foundations",
}
ICONS: Mapping[str, str] = {
    "workflowexecution": "play_circle",
    "stepexecution": "format_list_numbered",
    "workerheartbeat": "ecg_heart",
    "workflow": "account_tree",
    "workflowversion": "history",
    "workflowmetrics": "query_stats",
    "workflowmetricsmonth": "calendar_month",
    "metricscoverage": "event_available",
    "strategy": "strategy",
    "strategyversion": "history",
    "account": "account_balance",
    "order": "receipt_long",
    "fill": "done_all",
    "roundtrip": "sync_alt",
    "position": "pie_chart",
    "goal": "flag",
    "goalwatch": "visibility",
    "rebalance": "balance",
    "rebalanceleg": "list_alt",
    "equitysnapshot": "show_chart",
    "paperorder": "description",
    "paperfill": "task_alt",
    "safetysettings": "tune",
    "killswitch": "emergency_home",
    "killswitchevent": "manage_history",
    "killsweep": "cleaning_services",
    "killdrill": "timer",
    "flattenpermit": "verified_user",
    "daycounter": "counter_1",
    "gatedecision": "gavel",
    "alertrule": "notification_add",
    "alertevent": "notifications",
    "alertstate": "monitoring",
    "alertsighting": "visibility",
    "alertcursor": "bookmark",
    "alertround": "autorenew",
    "alertemail": "outgoing_mail",
    "auditlog": "policy",
    "datasource": "database",
    "instrument": "candlestick_chart",
    "barseries": "stacked_line_chart",
    "barimport": "upload_file",
    "feedimport": "upload_file",
    "newsitem": "newspaper",
    "fundamental": "balance",
    "agent": "smart_toy",
    "agentconversation": "forum",
    "agentrecommendation": "recommend",
    "liveadaptation": "tune",
    "adaptationround": "autorenew",
    "adaptationevent": "history",
    "regimepoint": "stacked_line_chart",
    "adaptationwatch": "visibility",
    "user": "person",
    "group": "group",
    "apikey": "key",
    "socketticket": "confirmation_number",
    "outboxmessage": "outbox",
    "livestream": "stream",
    "liveevent": "bolt",
    "idempotencyrecord": "content_copy",
    "webhook": "webhook",
    "webhookdelivery": "forward_to_inbox",
    "webhookattempt": "outgoing_mail",
}
DEFAULT_ICON = "table_rows"


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the navigation: every model that this person may see, in the order of the site."""
    from django.contrib import admin

    groups: list[dict[str, Any]] = [
        {
            "items": [
                {"title": "Console", "icon": "dashboard", "link": reverse("admin:index")},
                {"title": "Overview", "icon": "monitoring", "link": reverse("overview"), "active": False},
                {"title": "API", "icon": "api", "link": "/docs", "active": False},
            ]
        }
    ]
    for app in admin.site.get_app_list(request):
        items = [
            {
                "title": model["name"],
                "icon": ICONS.get(model["object_name"].lower(), DEFAULT_ICON),
                "link": model["admin_url"],
            }
            for model in app["models"]
            if model.get("admin_url")
        ]
        groups.append(
            {
                "title": app["name"],
                "separator": True,
                "collapsible": app["app_label"] == "common",
                "items": items,
            }
        )
    return groups


def environment(request: HttpRequest) -> list[str]:
    """Return the label beside the user: how this desk is wired."""
    return ["Embedded", "info"] if settings.EMBEDDED else ["Distributed", "success"]


UNFOLD = {
    "SITE_TITLE": "Trading desk",
    "SITE_HEADER": "Trading desk",
    "SITE_SUBHEADER": "Operators’ console",
    "SITE_URL": "/",
    "SITE_SYMBOL": "candlestick_chart",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("img/mark.svg")}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "ENVIRONMENT": environment,
    "DASHBOARD_CALLBACK": "executions.console.dashboard",
    "BORDER_RADIUS": "8px",
    "STYLES": [lambda request: static("css/console.css")],
    "COLORS": {
        "primary": {
            "50": "#eef3fe",
            "100": "#dbe5fd",
            "200": "#bed0fb",
            "300": "#93b1f8",
            "400": "#6088f2",
            "500": "#3a66e9",
            "600": "#1f54d6",
            "700": "#1a47b8",
            "800": "#1a3c95",
            "900": "#1a3576",
            "950": "#142249",
        },
    },
    "SIDEBAR": {"show_search": True, "command_search": True, "navigation": sidebar},
}
