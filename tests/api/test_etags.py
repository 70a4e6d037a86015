"""If-Match: who changes something says which state it read."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from tradingsite.common.models import ApiKey

pytestmark = [pytest.mark.urls("tests.api.probe"), pytest.mark.django_db]


@pytest.fixture
def path(trader: Any) -> str:
    key = ApiKey.objects.create(name="a", prefix="p", hashed_secret="h", role="viewer", created_by=trader)
    return f"/api/keys/{key.pk}"


def test_a_change_of_what_was_read_goes_through_once(api: Callable[..., APIClient], path: str) -> None:
    client = api("trader")
    etag = client.get(path)["ETag"]
    changed = client.put(path, headers={"If-Match": etag})
    assert changed.status_code == 200
    assert changed["ETag"] != etag
    late = client.put(path, headers={"If-Match": etag})
    assert (late.status_code, late.json()["code"]) == (412, "PRECONDITION_FAILED")
    assert late["ETag"] == changed["ETag"] == client.get(path)["ETag"]


@pytest.mark.parametrize(
    ("header", "status"), [(None, 200), ("*", 200), ('"other"', 412), ("W/{etag}", 412), ('"x", {etag}', 200)]
)
def test_the_header_is_read_as_the_standard_has_it(
    api: Callable[..., APIClient], path: str, header: str | None, status: int
) -> None:
    client = api("trader")
    etag = client.get(path)["ETag"]
    headers = {} if header is None else {"If-Match": header.replace("{etag}", etag)}
    assert client.put(path, headers=headers).status_code == status
