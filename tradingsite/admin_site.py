"""The admin as the operators' console: who may enter, what they may do, which policy it is served under.

Named in the settings and in `tradingsite.admin_apps`; nothing imports it.
"""

from collections.abc import Callable
from typing import Any

from csp.constants import UNSAFE_EVAL, UNSAFE_INLINE
from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.sites import UnfoldAdminSite

from tradingsite.admin_look import GROUPS
from tradingsite.common.console import show_plain_figures
from tradingsite.common.roles import Role, role_of

# The admin's own scripts evaluate the expressions in its attributes and its frame carries a style of colours. Both are
# allowed here alone; inline scripts are not.
ADMIN_POLICY = {"script-src": [UNSAFE_EVAL], "style-src": [UNSAFE_INLINE]}


class DeskAdminSite(UnfoldAdminSite):
    """For operators and admins, and for staff as Django knows it; all sign in on the one page of the desk."""

    site_title = "Trading desk"
    index_title = "Console"

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Register as Django does, with figures as people read them."""
        super().register(model_or_iterable, admin_class, **options)
        models = [model_or_iterable] if isinstance(model_or_iterable, type) else model_or_iterable
        for model in models:
            page = self._registry.get(model)
            if page is None:
                continue
            show_plain_figures(page)
            for inline in page.inlines:
                show_plain_figures(inline)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return the tables in the order and under the words of the sidebar."""
        order = list(GROUPS)
        apps = super().get_app_list(request, app_label)
        for app in apps:
            app["name"] = GROUPS.get(app["app_label"], app["name"])
        return sorted(apps, key=lambda app: order.index(app["app_label"]) if app["app_label"] in order else len(order))

    def has_permission(self, request: HttpRequest) -> bool:
        role = role_of(request.user)
        return super().has_permission(request) or (role is not None and role >= Role.OPERATOR)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if self.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index"))
        if request.user.is_authenticated:
            raise PermissionDenied("The admin is for operators and admins.")
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"), reverse("login"))

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        served: Callable[..., Any] = csp_update(ADMIN_POLICY)(super().admin_view(view, cacheable))
        return served


class RolePermissions(BaseBackend):
    """Django's permissions as the four roles give them: operators read the desk, admins may do everything.

    Each model's admin then says what may be done at all; ledgers stay read-only for everybody.
    """

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        role = role_of(user_obj)
        if role is None:
            return False
        if role >= Role.ADMIN:
            return True
        app, _, action = perm.partition(".")
        return role >= Role.OPERATOR and app in _desk_labels() and action.startswith("view_")

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        role = role_of(user_obj)
        return role is not None and (role >= Role.ADMIN or (role >= Role.OPERATOR and app_label in _desk_labels()))


def _desk_labels() -> set[str]:
    """Return the apps whose rows an operator may read. The ground holds keys and people's own records."""
    return {name.rpartition(".")[2] for name in settings.DESK_APPS} - {"common"}
