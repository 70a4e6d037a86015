"""Publishes on the desk's side: `publish` in a transaction, and whatever carries it from there."""

import os
import time
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradingsite.settings")

import django

django.setup()

from importlib import import_module  # noqa: E402

from django.conf import settings  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.db import transaction  # noqa: E402

from benchmarks.live.lines import now, serve  # noqa: E402
from benchmarks.live.messages import EXECUTION, step  # noqa: E402
from tradingsite.common.live import publish  # noqa: E402
from tradingsite.common.live.events import feed_after, feed_position  # noqa: E402

STREAM = f"execution:{EXECUTION}"


def _session() -> dict[str, Any]:
    """Return the cookie of a viewer's session."""
    user = User.objects.create_user("bench", password=None)
    user.groups.add(Group.objects.get(name="viewer"))
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return {"cookie": f"{settings.SESSION_COOKIE_NAME}={session.session_key}"}


def _publish(order: dict[str, Any]) -> dict[str, Any]:
    padding = order.get("padding", 0)
    began = now()
    committing = began
    if gap_s := order.get("gap_s"):
        for number in range(order["events"]):
            time.sleep(max(0.0, began + number * gap_s - now()))
            with transaction.atomic():
                publish(STREAM, "step", {"execution_id": EXECUTION, **step(number, now(), padding)})
    else:
        with transaction.atomic():
            for number in range(order["events"]):
                publish(STREAM, "step", {"execution_id": EXECUTION, **step(number, now(), padding)})
            # Nobody may hear of a change before it is certain: here the news begin to travel.
            committing = now()
    return {"began": committing, "rows_s": committing - began, "handed_over": now(), "last": feed_position("execution")}


def _stored(order: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of all events after one: what a client must have in the end."""
    found: list[int] = []
    after = order["after"]
    while page := feed_after("execution", after):
        found += [envelope["id"] for envelope in page]
        after = found[-1]
    return {"ids": found}


def _do(order: dict[str, Any]) -> dict[str, Any]:
    return {"session": lambda _: _session(), "publish": _publish, "stored": _stored}[order["do"]](order)


serve(_do)
