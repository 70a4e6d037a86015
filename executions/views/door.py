"""The door of every page: signed in, with a role, and coded errors shown as pages."""

import functools
import logging
from collections.abc import Callable
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied as Refused
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from executions.pages.frame import frame
from tradingsite.common.actor import Actor
from tradingsite.common.errors import NotFound, PermissionDenied
from tradingsite.common.roles import Role

logger = logging.getLogger(__name__)

View = Callable[..., HttpResponse]


def page(view: View) -> View:
    """Serve `view(request, actor, context, …)` to anybody with a role; `context` holds the frame."""
    return needs(Role.VIEWER)(view)


def needs(role: Role) -> Callable[[View], View]:
    """Serve `view(request, actor, context, …)` to people with at least `role`."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def served(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                return _guarded(request, view, role, args, kwargs)
            except NotFound as error:
                raise Http404(error.detail) from error
            except PermissionDenied as error:
                raise Refused(error.detail) from error
            except (OperationalError, InterfaceError):
                logger.exception("the database failed a page")
                return render(None, "503.html", status=503, content_type="text/html")  # type: ignore[arg-type]

        return served

    return decorate


def _guarded(request: HttpRequest, view: View, role: Role, args: Any, kwargs: Any) -> HttpResponse:
    if not request.user.is_authenticated:
        return _to_login(request)
    actor = Actor.for_user(request.user, request_id=getattr(request, "request_id", ""))
    if actor.role is None:
        raise PermissionDenied("Your account has no role yet. An administrator gives one under Admin, Users, Groups.")
    if not actor.may(role):
        raise PermissionDenied(f"This needs the role {role.slug} or a higher one; yours is {actor.role.slug}.")
    return view(request, actor, {"desk": frame(actor)}, *args, **kwargs)


def _to_login(request: HttpRequest) -> HttpResponse:
    if request.htmx:  # type: ignore[attr-defined]  # set by its middleware
        # A redirect would put the login page into a panel; this sends the whole page there.
        return HttpResponse(status=401, headers={"HX-Redirect": reverse("login")})
    after = request.get_full_path() if request.method == "GET" else "/"
    return redirect_to_login(after, reverse("login"))


def answer(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """Render `<template>.html`; a request by htmx gets its `panels` and the state of the switch alone."""
    refreshing = bool(request.htmx)  # type: ignore[attr-defined]  # set by its middleware
    response = render(request, "refresh.html" if refreshing else f"{template}.html", context)
    # One address gives a page or its panels: no cache may take the one for the other.
    response["Vary"] = "HX-Request, Cookie"
    response["Cache-Control"] = "private, no-store"
    return response


def return_url(request: HttpRequest) -> str:
    """Return where a form asked to go afterwards, if that is on this site, else the overview."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    hosts = {request.get_host()}
    if url_has_allowed_host_and_scheme(target, allowed_hosts=hosts, require_https=request.is_secure()):
        return target
    return reverse("overview")
