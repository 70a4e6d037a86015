"""What docs/webhooks.md tells receivers is so."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.receiver import Receiver
from tests.support.webhooks import TRIAL, MakeWebhook
from tests.webhooks.conftest import happen
from tradingsite.common.webhooks import schedule, sending, signing
from tradingsite.common.webhooks.event_types import event_types

TEXT = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()


@pytest.mark.django_db
def test_the_receiver_of_the_page_takes_what_the_desk_sends_and_nothing_else(
    make: MakeWebhook, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    [code] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    page: dict[str, Any] = {}
    exec(code, page)
    webhook, secret = make(there.url)
    happen(7)
    sending.send_due(webhook.pk)
    [request] = there.requests
    assert page["event_of"](request.headers, request.body, secret)["data"] == {"number": 7}
    for headers, body, key in (
        (request.headers, request.body + b" ", secret),
        (request.headers, request.body, signing.new_secret()),
        ({**request.headers, "webhook-id": "msg_other"}, request.body, secret),
    ):
        with pytest.raises(ValueError, match="not from the desk"):
            page["event_of"](headers, body, key)
    monkeypatch.setattr(page["time"], "time", lambda: int(request.headers["webhook-timestamp"]) + 301)
    with pytest.raises(ValueError, match="not from the desk"):
        page["event_of"](request.headers, request.body, secret)


def test_the_page_names_every_event_type_and_no_other() -> None:
    table = TEXT[TEXT.index("| event | when |") : TEXT.index('`"*"` stands')]
    assert set(re.findall(r"`([a-z_.]+)`", table)) == {one.slug for one in event_types.all()} - {TRIAL.slug}


def test_the_page_has_the_pauses_and_limits_of_the_code() -> None:
    words = ("5 seconds", "5 minutes", "30 minutes", "2", "5", "10", "14", "20 and 24 hours")
    assert [pause.total_seconds() for pause in schedule.PAUSES] == [
        5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400,
    ]  # fmt: skip
    flat = " ".join(TEXT.split())
    assert ", ".join(words) in flat
    assert sending.TIMEOUT_S == 15
    assert sending.IN_FLIGHT == 2
    assert schedule.DISABLED_AFTER.days == 5
