"""Health and documentation routes, at the site's root."""

from django.urls import URLPattern, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView

from tradingsite.common.api.system_views import health, ready

urlpatterns: list[URLPattern] = [
    re_path(r"^health/?$", health, name="health"),
    re_path(r"^health/ready/?$", ready, name="health-ready"),
    re_path(r"^api/(?:v1/)?schema/?$", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("redoc", SpectacularRedocView.as_view(url_name="schema"), name="redoc"),
]
