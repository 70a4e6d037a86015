"""Health and documentation: the routes that need no credentials."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from tradingsite.common.health import readiness


@csrf_exempt
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """Say that the process answers; nothing else is asked."""
    return JsonResponse({"status": "ok"})


@csrf_exempt
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Say whether the desk can work: 200 also when degraded, 503 when down."""
    status, checks = readiness()
    body = {"status": status, "checks": {n: {"status": c.status, "detail": c.detail} for n, c in checks.items()}}
    if status == "down":
        return JsonResponse(body, status=503, headers={"Retry-After": "5"})
    return JsonResponse(body)
