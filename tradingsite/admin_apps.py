"""Django's admin with the desk's own site as the default one."""

from importlib import import_module

from django.contrib.admin.apps import AdminConfig


class DeskAdminConfig(AdminConfig):
    default_site = "tradingsite.admin_site.DeskAdminSite"

    def ready(self) -> None:
        super().ready()
        # After the apps' own registrations, some of which it replaces.
        import_module("tradingsite.admin_celery")
