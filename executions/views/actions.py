"""The forms of the pages: stop and resume trading, cancel and retry a run. Each calls one service and goes back."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from executions import selectors, services
from executions.pages.frame import KillForm, ResumeForm
from executions.views.door import needs, return_url
from safety import services as safety
from tradingsite.common.actor import Actor
from tradingsite.common.errors import AppError, PermissionDenied
from tradingsite.common.roles import Role


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Role.OPERATOR)
def safety_kill(request: HttpRequest, actor: Actor, context: dict[str, Any]) -> HttpResponse:
    form = KillForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            result = safety.kill(actor=actor, reason=form.cleaned_data["reason"], flatten=form.cleaned_data["flatten"])
        except AppError as error:
            return _confirm(request, context, "kill", form, error)
        if result.degraded:
            messages.warning(request, f"Trading is stopped. {result.detail}")
        elif result.changed:
            messages.success(request, "Trading is stopped.")
        else:
            messages.info(request, "Trading was already stopped.")
        return HttpResponseRedirect(return_url(request))
    return _confirm(request, context, "kill", form)


@require_http_methods(["GET", "HEAD", "POST"])
@needs(Role.OPERATOR)
def safety_resume(request: HttpRequest, actor: Actor, context: dict[str, Any]) -> HttpResponse:
    form = ResumeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            safety.resume(actor=actor, reason=form.cleaned_data["reason"])
        except AppError as error:
            return _confirm(request, context, "resume", form, error)
        messages.success(request, "Trading is open again.")
        return HttpResponseRedirect(return_url(request))
    return _confirm(request, context, "resume", form)


def _confirm(
    request: HttpRequest, context: dict[str, Any], kind: str, form: Any, error: AppError | None = None
) -> HttpResponse:
    """Show the form on a page of its own: the way without JavaScript, and the way back from a refusal."""
    if error is not None:
        messages.error(request, error.detail)
    context |= {"kind": kind, "form": form, "next_url": return_url(request), "confirming": True}
    status = error.status if error is not None else 400 if form.errors else 200
    return render(request, "safety/confirm.html", context, status=status)


@require_POST
@needs(Role.TRADER)
def run_cancel(request: HttpRequest, actor: Actor, context: dict[str, Any], execution_id: UUID) -> HttpResponse:
    execution = selectors.execution_get(execution_id)
    try:
        services.execution_cancel(actor=actor, execution=execution)
    except PermissionDenied:
        raise
    except AppError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, "The run was asked to stop.")
    return HttpResponseRedirect(reverse("run", args=[execution_id]))


@require_POST
@needs(Role.TRADER)
def run_retry(request: HttpRequest, actor: Actor, context: dict[str, Any], execution_id: UUID) -> HttpResponse:
    execution = selectors.execution_get(execution_id)
    try:
        services.execution_retry(actor=actor, execution=execution)
    except PermissionDenied:
        raise
    except AppError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, "The run goes on from its first incomplete step.")
    return HttpResponseRedirect(reverse("run", args=[execution_id]))
