"""The pages of live adaptation, and its forms. Each form calls one service and goes back."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from executions.pages.frame import REASON_LENGTH
from executions.views.door import answer, needs, page
from optimize import services
from optimize.adaptation import selectors
from optimize.adaptation.models import LiveAdaptation
from optimize.pages.adaptations import FILTERS, adaptation_page, adaptations_page, decision_page
from tradingsite.common.actor import Actor
from tradingsite.common.errors import AppError, NotFound, PermissionDenied
from tradingsite.common.roles import Role

ASKS = ["GET", "HEAD", "POST"]
_DONE = {
    "run": "A round was started.",
    "stop": "The adaptation is stopped. The strategy keeps its parameters.",
    "approve": "The proposed parameters are live.",
    "reject": "The proposal is rejected.",
    "rollback": "The change is taken back.",
}


class ReasonForm(forms.Form):
    reason = forms.CharField(max_length=REASON_LENGTH, required=False, strip=True)


@require_safe
@page
def adaptation_list(request: HttpRequest, actor: Actor, context: dict[str, Any]) -> HttpResponse:
    status = request.GET.get("status", "")
    if status not in dict(FILTERS):
        status = FILTERS[0][0]
    found = adaptations_page(actor, status=status, number=_number(request, "page") or 1)
    context |= {
        "section": "adaptation",
        "panels": "adaptation/list_panels.html",
        "here": request.get_full_path(),
        **found,
    }
    return answer(request, "adaptation/list", context)


@require_safe
@page
def adaptation(request: HttpRequest, actor: Actor, context: dict[str, Any], adaptation_id: UUID) -> HttpResponse:
    found = adaptation_page(adaptation_id, actor, before=_number(request, "before"))
    context |= {
        "section": "adaptation",
        "panels": "adaptation/panels.html",
        "here": request.get_full_path(),
        "form": ReasonForm(),
        **found,
    }
    return answer(request, "adaptation/adaptation", context)


@require_http_methods(ASKS)
@needs(Role.TRADER)
def adaptation_run(request: HttpRequest, actor: Actor, context: dict[str, Any], adaptation_id: UUID) -> HttpResponse:
    row = selectors.adaptation_get(adaptation_id, actor)
    return _asked(request, context, "run", row, lambda reason: services.live_run(actor=actor, adaptation=row))


@require_http_methods(ASKS)
@needs(Role.TRADER)
def adaptation_stop(request: HttpRequest, actor: Actor, context: dict[str, Any], adaptation_id: UUID) -> HttpResponse:
    row = selectors.adaptation_get(adaptation_id, actor)
    return _asked(
        request, context, "stop", row, lambda reason: services.live_stop(actor=actor, adaptation=row, reason=reason)
    )


@require_http_methods(ASKS)
@needs(Role.TRADER)
def adaptation_decide(
    request: HttpRequest, actor: Actor, context: dict[str, Any], adaptation_id: UUID, number: int, decision: str
) -> HttpResponse:
    row, line = decision_page(adaptation_id, actor, number)
    decide = {
        "approve": services.event_approve,
        "reject": services.event_reject,
        "rollback": services.event_rollback,
    }[decision]
    return _asked(
        request,
        context | {"line": line},
        decision,
        row,
        lambda reason: decide(actor=actor, adaptation=row, number=number, reason=reason),
    )


def _asked(
    request: HttpRequest, context: dict[str, Any], kind: str, row: LiveAdaptation, act: Callable[[str], Any]
) -> HttpResponse:
    """Ask whether it is meant, on a page of its own, which is also the way back from a refusal; and do it."""
    form = ReasonForm(request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        if form.is_valid():
            try:
                act(form.cleaned_data["reason"])
            except (PermissionDenied, NotFound):
                raise
            except AppError as error:
                messages.error(request, error.detail)
                status = error.status
            else:
                messages.success(request, _DONE[kind])
                return HttpResponseRedirect(reverse("adaptation", args=[row.pk]))
        else:
            status = 400
    context |= {"section": "adaptation", "kind": kind, "adaptation": row, "form": form}
    return render(request, "adaptation/confirm.html", context, status=status)


def _number(request: HttpRequest, name: str) -> int | None:
    """Return the whole number in the address; one that is none counts as not given, as an old bookmark should still open."""
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
