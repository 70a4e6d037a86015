"""The WSGI application: HTTP alone, for production servers that leave the sockets to an ASGI process."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")

application = get_wsgi_application()
