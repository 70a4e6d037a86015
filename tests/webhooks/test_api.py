"""Webhooks over HTTP: whose they are, what is refused by name, what is shown once."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AbstractBaseUser
from rest_framework.test import APIClient

from safety.models import AuditLog
from tests.conftest import user_with_role
from tests.support.receiver import Receiver
from tests.support.webhooks import TRIAL, verified
from tests.webhooks.conftest import happen, wait_over
from tradingsite.common.ids import uuid7
from tradingsite.common.models import OutboxMessage
from tradingsite.common.roles import Role
from tradingsite.common.webhooks.models import Webhook, WebhookDelivery
from tradingsite.common.webhooks.sending import send_due
from tradingsite.common.webhooks.services import MAX_PER_PERSON

pytestmark = pytest.mark.django_db
Api = Callable[..., APIClient]


def body(url: str = "http://127.0.0.1:9/hook", **changes: Any) -> dict[str, Any]:
    return {"name": "Mine", "url": url, "event_types": [TRIAL.slug], **changes}


def made(client: APIClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/api/webhooks", body(**changes), format="json")
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_a_webhook_is_made_shown_changed_and_deleted(api: Api) -> None:
    client = api("trader")
    answer = client.post("/api/webhooks", body(workflow_id=str(uuid7())), format="json")
    assert answer.status_code == 201
    first = answer.json()
    assert answer["Location"] == f"/api/v1/webhooks/{first['id']}"
    assert first["secret"].startswith("whsec_")
    assert (first["enabled"], first["created_by"], first["disabled_because"]) == (True, "trader", "")
    shown = client.get(f"/api/webhooks/{first['id']}")
    assert shown.json() == {name: value for name, value in first.items() if name != "secret"}
    assert client.get("/api/webhooks").json()["results"] == [shown.json()]
    changed = client.patch(f"/api/webhooks/{first['id']}", {"enabled": False, "event_types": ["*"]}, format="json")
    assert (changed.json()["enabled"], changed.json()["disabled_because"]) == (False, "owner")
    assert (changed.json()["name"], changed.json()["event_types"]) == ("Mine", ["*"])
    assert client.get("/api/webhooks?enabled=true").json()["count"] == 0
    replaced = client.put(f"/api/webhooks/{first['id']}", body(name="Again"), format="json")
    assert (replaced.json()["name"], replaced.json()["workflow_id"], replaced.json()["enabled"]) == (
        "Again",
        None,
        True,
    )
    assert client.delete(f"/api/webhooks/{first['id']}").status_code == 204
    assert client.get(f"/api/webhooks/{first['id']}").status_code == 404
    actions = AuditLog.objects.order_by("id").values_list("action", flat=True)
    assert list(actions) == ["webhook.create", "webhook.update", "webhook.update", "webhook.delete"]


def test_nobody_overwrites_what_somebody_else_has_changed(api: Api) -> None:
    client = api("trader")
    url = f"/api/webhooks/{made(client)['id']}"
    seen = client.get(url)["ETag"]
    assert client.patch(url, {"name": "One"}, format="json", headers={"If-Match": seen}).status_code == 200
    for method, sent in (("patch", {"name": "Two"}), ("put", body()), ("delete", None)):
        refused = getattr(client, method)(url, sent, format="json", headers={"If-Match": seen})
        assert refused.status_code == 412, method
    assert Webhook.objects.get().name == "One"


def test_a_change_that_changes_nothing_is_none_and_a_new_address_starts_afresh(api: Api, there: Receiver) -> None:
    client = api("trader")
    one = made(client, url=there.url)
    url = f"/api/webhooks/{one['id']}"
    seen = client.get(url)["ETag"]
    assert client.put(url, body(there.url), format="json")["ETag"] == seen
    assert list(AuditLog.objects.values_list("action", flat=True)) == ["webhook.create"]
    there.answer = lambda request, send: send(500)
    happen()
    send_due(one["id"])
    assert client.get(url).json()["failing_since"] is not None
    moved = client.patch(url, {"url": there.url + "/new"}, format="json")
    assert moved.json()["failing_since"] is None
    assert moved["ETag"] != seen
    row = AuditLog.objects.get(action="webhook.update")
    assert row.after["changed"] == ["failing_since", "url"]
    assert there.url not in str([row.before, row.after]), "an address may be as good as a password"


def test_what_the_desk_notes_of_deliveries_is_no_change_of_the_webhook(api: Api, there: Receiver) -> None:
    client = api("trader")
    one = made(client, url=there.url)
    url = f"/api/webhooks/{one['id']}"
    seen = client.get(url)["ETag"]
    happen()
    send_due(one["id"])
    assert client.get(url).json()["last_success_at"] is not None
    assert client.patch(url, {"name": "One"}, format="json", headers={"If-Match": seen}).status_code == 200


def test_a_trader_has_its_own_and_an_operator_all(api: Api, django_user_model: Any) -> None:
    other: AbstractBaseUser = user_with_role(Role.TRADER, "other")
    theirs = made(api(other))
    delivery = api(other).post(f"/api/webhooks/{theirs['id']}/test").json()
    stranger, operator = api("trader"), api("operator")
    base = f"/api/webhooks/{theirs['id']}"
    for method, path, sent in (
        ("get", "", None),
        ("patch", "", {"name": "Taken"}),
        ("put", "", body()),
        ("delete", "", None),
        ("post", "/rotate-secret", None),
        ("post", "/test", None),
        ("get", "/deliveries", None),
        ("get", f"/deliveries/{delivery['id']}", None),
        ("post", f"/deliveries/{delivery['id']}/redeliver", None),
    ):
        answer = getattr(stranger, method)(base + path, sent, format="json")
        assert (answer.status_code, answer.json()["code"]) == (404, "WEBHOOK_NOT_FOUND"), (method, path)
    assert stranger.get("/api/webhooks").json()["count"] == 0
    assert operator.get("/api/webhooks").json()["count"] == 1
    assert operator.patch(base, {"enabled": False}, format="json").status_code == 200
    assert operator.get(f"{base}/deliveries").json()["results"][0]["id"] == delivery["id"]


def test_a_delivery_of_another_webhook_is_not_found_under_ones_own(api: Api) -> None:
    client = api("trader")
    mine = made(client)
    theirs = made(api(user_with_role(Role.TRADER, "other")))
    delivery = api("operator").post(f"/api/webhooks/{theirs['id']}/test").json()
    for method, path in (("get", ""), ("post", "/redeliver")):
        answer = getattr(client, method)(f"/api/webhooks/{mine['id']}/deliveries/{delivery['id']}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "DELIVERY_NOT_FOUND")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "http://localhost:9/"}, "url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "url"),
        ({"url": "http://me:secret@127.0.0.1/"}, "url"),
        ({"url": "ftp://127.0.0.1/"}, "url"),
        ({"url": "somewhere"}, "url"),
        ({"url": ""}, "url"),
        ({"url": 7}, "url"),
        ({"url": "http://127.0.0.1/" + "a" * 2000}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": "ping"}, "event_types"),
        ({"event_types": [TRIAL.slug, "nobody.knows"]}, "event_types/1"),
        ({"event_types": [["ping"]]}, "event_types/0"),
        ({"name": ""}, "name"),
        ({"name": "a" * 121}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"workflow_id": "seven"}, "workflow_id"),
        ({"enabled": "perhaps"}, "enabled"),
        ({"secret": "whsec_mine"}, "secret"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name_when_made_and_when_changed(
    api: Api, settings: Any, changes: dict[str, Any], pointer: str
) -> None:
    settings.OUTBOUND_ALLOWED = []
    client = api("trader")
    sound = made(client, url="http://1.1.1.1/hook")
    for answer in (
        client.post("/api/webhooks", {**body("http://1.1.1.1/hook"), **changes}, format="json"),
        client.patch(f"/api/webhooks/{sound['id']}", changes, format="json"),
    ):
        assert answer.status_code == 400, answer.content
        assert pointer in [error["pointer"].lstrip("/") for error in answer.json()["errors"]], answer.json()
    row = Webhook.objects.get()
    assert (row.url, row.name, row.event_types) == ("http://1.1.1.1/hook", "Mine", [TRIAL.slug])


def test_a_person_has_only_so_many(api: Api) -> None:
    client = api("trader")
    for number in range(MAX_PER_PERSON):
        made(client, name=str(number))
    answer = client.post("/api/webhooks", body(), format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "TOO_MANY_WEBHOOKS")
    client.delete(f"/api/webhooks/{client.get('/api/webhooks').json()['results'][0]['id']}")
    made(client)


def test_a_rotated_secret_is_shown_once_and_signs(api: Api, there: Receiver) -> None:
    client = api("trader")
    one = made(client, url=there.url)
    answer = client.post(f"/api/webhooks/{one['id']}/rotate-secret")
    assert answer.status_code == 200
    rotated = answer.json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != one["secret"]
    assert rotated["old_secret_until"] is not None
    assert "secret" not in client.get(f"/api/webhooks/{one['id']}").json()
    assert client.post(f"/api/webhooks/{one['id']}/test").status_code == 202
    send_due(one["id"])
    assert verified(there.requests[0], rotated["secret"])["type"] == "ping"
    assert verified(there.requests[0], one["secret"])["type"] == "ping"


def test_the_log_tells_each_attempt_and_a_delivery_is_sent_again(api: Api, there: Receiver) -> None:
    client = api("trader")
    one = made(client, url=there.url)
    base = f"/api/webhooks/{one['id']}/deliveries"
    there.answer = lambda request, send: send(503, b"busy")
    happen(7)
    send_due(one["id"])
    [listed] = client.get(base).json()["results"]
    assert (listed["status"], listed["attempts"], listed["last_status"]) == ("pending", 1, 503)
    assert listed["last_error"] == "The answer was 503."
    detail = client.get(f"{base}/{listed['id']}").json()
    assert json.loads(detail["body"])["data"] == {"number": 7}
    [attempt] = detail["log"]
    assert (attempt["number"], attempt["status"], attempt["answer"]) == (1, 503, "busy")
    assert attempt["error_code"] == "HTTP_503"
    there.answer = lambda request, send: send(200)
    OutboxMessage.objects.all().delete()
    answer = client.post(f"{base}/{listed['id']}/redeliver")
    assert answer.status_code == 202
    assert answer["Location"] == f"/api/v1/webhooks/{one['id']}/deliveries/{listed['id']}"
    assert OutboxMessage.objects.get().args == [one["id"]]
    send_due(one["id"])
    assert client.get(f"{base}/{listed['id']}").json()["status"] == "delivered"
    assert {request.headers["webhook-id"] for request in there.requests} == {listed["message_id"]}


def test_deliveries_are_filtered_and_paged_by_cursor(api: Api, there: Receiver) -> None:
    client = api("trader")
    one = made(client, url=there.url, event_types=["*"])
    base = f"/api/webhooks/{one['id']}/deliveries"
    for number in range(3):
        happen(number)
    send_due(one["id"])
    client.post(f"/api/webhooks/{one['id']}/test")
    ids = [row["id"] for row in client.get(base).json()["results"]]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 4
    found = client.get(base, {"status": "delivered", "type": TRIAL.slug, "page_size": 2}).json()
    rest = client.get(found["next"]).json()
    assert [row["id"] for row in found["results"] + rest["results"]] == ids[1:]
    assert client.get(base, {"status": "pending"}).json()["results"][0]["type"] == "ping"
    assert client.get(base, {"created_after": "2199-01-01"}).json()["results"] == []
    for query in ({"status": "lost"}, {"colour": "red"}, {"cursor": "%%%"}, {"created_after": "noon"}):
        refused = client.get(base, query)
        assert (refused.status_code, next(iter(query)) in refused.content.decode()) == (400, True)


def test_a_disabled_webhook_takes_no_trial(api: Api, there: Receiver) -> None:
    client = api("trader")
    one = made(client, url=there.url, enabled=False)
    answer = client.post(f"/api/webhooks/{one['id']}/test")
    assert (answer.status_code, answer.json()["code"]) == (409, "WEBHOOK_DISABLED")
    assert not WebhookDelivery.objects.exists()


def test_one_that_was_disabled_for_failing_starts_afresh(api: Api, there: Receiver) -> None:
    client = api("trader")
    one = made(client, url=there.url)
    there.answer = lambda request, send: send(410)
    happen()
    send_due(one["id"])
    shown = client.get(f"/api/webhooks/{one['id']}").json()
    assert (shown["enabled"], shown["disabled_because"]) == (False, "gone")
    assert shown["disabled_at"] is not None
    there.answer = lambda request, send: send(200)
    shown = client.patch(f"/api/webhooks/{one['id']}", {"enabled": True}, format="json").json()
    assert (shown["enabled"], shown["disabled_because"], shown["failing_since"]) == (True, "", None)
    delivery = WebhookDelivery.objects.get()
    client.post(f"/api/webhooks/{one['id']}/deliveries/{delivery.pk}/redeliver")
    wait_over(delivery)
    send_due(one["id"])
    delivery.refresh_from_db()
    assert delivery.status == "delivered"


def test_every_event_type_has_its_help_and_an_example_of_the_whole_body(api: Api) -> None:
    answer = api("trader").get("/api/webhooks/event-types")
    types = {row["type"]: row for row in answer.json()}
    assert set(types) >= {
        "ping", "run.completed", "run.failed", "run.cancelled", "alert.triggered", "order.filled", "order.rejected",
        "order.denied", "kill_switch.changed",
    }  # fmt: skip
    for name, row in types.items():
        assert row["help"].endswith(".")
        assert row["example"]["type"] == name
        assert set(row["example"]) == {"type", "timestamp", "data"}
