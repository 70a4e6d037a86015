"""Idempotency-Key: one key, one effect."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.db import connections
from rest_framework.test import APIClient

from tests.api.probe import Work
from tests.conftest import user_with_role
from tradingsite.common import clock
from tradingsite.common.models import IdempotencyRecord
from tradingsite.common.roles import Role

pytestmark = pytest.mark.urls("tests.api.probe")


@pytest.fixture(autouse=True)
def work() -> Iterator[None]:
    Work.done.clear()
    Work.run = staticmethod(lambda: None)
    yield
    Work.run = staticmethod(lambda: None)


@pytest.fixture
def client(api: Callable[..., APIClient]) -> APIClient:
    client = api("trader")
    client.raise_request_exception = False
    return client


def send(client: APIClient, body: Any, key: str | None = "key-1", path: str = "/api/work") -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(path, body, format="json", headers=headers)


@pytest.mark.django_db
def test_the_same_request_is_answered_again_and_done_once(client: APIClient) -> None:
    first, second = send(client, {"a": 1}), send(client, {"a": 1})
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json() == {"number": 1}
    assert first["Location"] == second["Location"]
    assert not first.has_header("Idempotent-Replayed")
    assert second["Idempotent-Replayed"] == "true"
    assert len(Work.done) == 1


@pytest.mark.django_db
def test_the_order_of_members_is_no_other_body(client: APIClient) -> None:
    send(client, {"a": 1, "b": 2})
    assert send(client, {"b": 2, "a": 1})["Idempotent-Replayed"] == "true"


@pytest.mark.django_db
def test_both_names_and_spellings_of_a_path_share_the_key(client: APIClient) -> None:
    send(client, {"a": 1})
    assert send(client, {"a": 1}, path="/api/work/")["Idempotent-Replayed"] == "true"
    assert send(client, {"a": 1}, path="/api/v1/work")["Idempotent-Replayed"] == "true"
    assert len(Work.done) == 1


@pytest.mark.django_db
def test_without_a_key_each_request_is_its_own(client: APIClient) -> None:
    send(client, {"a": 1}, key=None)
    send(client, {"a": 1}, key=None)
    assert len(Work.done) == 2


@pytest.mark.django_db
def test_another_body_under_the_same_key_is_refused(client: APIClient) -> None:
    send(client, {"a": 1})
    answer = send(client, {"a": 2})
    assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(Work.done) == 1


@pytest.mark.django_db
def test_another_caller_has_keys_of_its_own(client: APIClient, api: Callable[..., APIClient]) -> None:
    send(client, {"a": 1})
    assert not send(api("operator"), {"a": 1}).has_header("Idempotent-Replayed")
    assert len(Work.done) == 2


@pytest.mark.django_db
def test_a_refusal_is_not_kept(client: APIClient) -> None:
    assert send(client, {"refuse": True}).status_code == 409
    assert send(client, {"a": 1}).status_code == 201


@pytest.mark.django_db
def test_a_fault_gives_the_key_back(client: APIClient) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    Work.run = staticmethod(fail)
    assert send(client, {"a": 1}).status_code == 500
    Work.run = staticmethod(lambda: None)
    assert send(client, {"a": 1}).status_code == 201
    assert len(Work.done) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", "a" * 201, "a b", "schlüssel"])
def test_a_key_that_is_none_is_named(client: APIClient, key: str) -> None:
    answer = send(client, {"a": 1}, key=key)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "Idempotency-Key"
    assert Work.done == []


@pytest.mark.django_db
def test_a_key_is_free_again_after_seven_days(client: APIClient, frozen_clock: Callable[..., None]) -> None:
    send(client, {"a": 1})
    frozen_clock(clock.utcnow() + timedelta(days=7, seconds=1))
    assert send(client, {"a": 2}).json() == {"number": 2}


def unanswered(client: APIClient) -> IdempotencyRecord:
    """Leave the key as a process does that dies in the middle."""
    send(client, {"a": 1})
    record = IdempotencyRecord.objects.get()
    record.status_code, record.body = None, None
    record.save()
    return record


@pytest.mark.django_db
def test_a_key_in_flight_says_to_wait(client: APIClient) -> None:
    unanswered(client)
    answer = send(client, {"a": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "IDEMPOTENCY_KEY_IN_FLIGHT")
    assert answer["Retry-After"] == "1"


@pytest.mark.django_db
def test_a_key_that_was_never_answered_is_not_done_again(client: APIClient, frozen_clock: Callable[..., None]) -> None:
    unanswered(client)
    frozen_clock(clock.utcnow() + timedelta(hours=1))
    answer = send(client, {"a": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "IDEMPOTENCY_OUTCOME_UNKNOWN")
    assert len(Work.done) == 1


def at_once(trader: AbstractBaseUser, keys: list[str | None]) -> list[Any]:
    """Send one request per key, all begun before any is answered."""
    answers: list[Any] = [None] * len(keys)
    release = threading.Event()
    Work.run = staticmethod(lambda: release.wait(10))

    def one(index: int) -> None:
        client = APIClient()
        client.force_authenticate(user=trader)
        answers[index] = send(client, {"a": 1}, key=keys[index])
        connections.close_all()

    threads = [threading.Thread(target=one, args=(index,)) for index in range(len(keys))]
    for thread in threads:
        thread.start()
    # Whoever is refused answers at once; the others wait inside the work.
    for thread in threads:
        thread.join(1.0)
    release.set()
    for thread in threads:
        thread.join(10)
    return answers


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_requests_at_once_do_the_work_once() -> None:
    trader = user_with_role(Role.TRADER)
    # The control: without a key both work, so the requests do run at the same time.
    assert [answer.status_code for answer in at_once(trader, [None, None])] == [201, 201]
    assert len(Work.done) == 2

    Work.done.clear()
    answers = at_once(trader, ["same", "same"])
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert len(Work.done) == 1
    assert IdempotencyRecord.objects.count() == 1
