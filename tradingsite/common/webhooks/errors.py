"""What can go wrong with webhooks, by code."""

from tradingsite.common.errors import AppError, Conflict, NotFound


class WebhookNotFound(NotFound):
    code, title = "WEBHOOK_NOT_FOUND", "You have no such webhook"


class DeliveryNotFound(NotFound):
    code, title = "DELIVERY_NOT_FOUND", "The webhook has no such delivery"


class WebhookDisabled(Conflict):
    code, title = "WEBHOOK_DISABLED", "The webhook is disabled; enable it first"


class DeliveryUnderWay(Conflict):
    code, title = "DELIVERY_UNDER_WAY", "The delivery is being sent at this moment"


class TooManyWebhooks(Conflict):
    code, title = "TOO_MANY_WEBHOOKS", "You have as many webhooks as one person may have"


class SecretUnreadable(AppError):
    """The key that encrypted the secret is neither `SECRET_KEY` nor among `SECRET_KEY_FALLBACKS`."""

    code, status, title = "WEBHOOK_SECRET_UNREADABLE", 500, "The secret cannot be read; rotate it"
