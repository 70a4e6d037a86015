"""Django's admin with the desk's own site as the default one."""

from django.contrib.admin.apps import AdminConfig


class DeskAdminConfig(AdminConfig):
    default_site = "tradingsite.admin_site.DeskAdminSite"
