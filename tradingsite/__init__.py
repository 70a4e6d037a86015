"""The roof: settings, routing and process wiring. It owns no model and wires the apps by name."""

from tradingsite.celery import app as celery_app

__all__ = ["celery_app"]
