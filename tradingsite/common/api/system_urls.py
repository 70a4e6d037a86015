"""Health and documentation routes, at the site's root."""

from django.urls import URLPattern, re_path

from tradingsite.common.api.docs_views import RedocView, SchemaView, SwaggerView, error_codes
from tradingsite.common.api.system_views import health, ready

urlpatterns: list[URLPattern] = [
    re_path(r"^health/?$", health, name="health"),
    re_path(r"^health/ready/?$", ready, name="health-ready"),
    re_path(r"^api/(?:v1/)?schema/?$", SchemaView.as_view(), name="schema"),
    re_path(r"^docs/?$", SwaggerView.as_view(url_name="schema"), name="docs"),
    re_path(r"^docs/errors/?$", error_codes, name="error-codes"),
    re_path(r"^redoc/?$", RedocView.as_view(url_name="schema"), name="redoc"),
]
