"""What an agent was is read from the audit, change by change."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db
Api = Callable[..., APIClient]


def test_every_change_of_an_agent_is_a_version_with_what_it_changed(api: Api, body: dict[str, Any]) -> None:
    trader = api("trader")
    made = trader.post("/api/agents", body, format="json").json()
    url = f"/api/agents/{made['id']}"
    trader.patch(url, {"system_prompt": "Be brief.", "max_iterations": 9}, format="json")
    trader.delete(url)
    trader.post(f"{url}/restore")
    page = api("viewer").get(f"{url}/versions").json()
    assert page["count"] == 4
    rows = [(row["number"], row["action"], row["changed"]) for row in page["results"]]
    assert rows == [
        (4, "agent.restore", []),
        (3, "agent.delete", []),
        (2, "agent.update", ["max_iterations", "system_prompt"]),
        (1, "agent.create", []),
    ]
    assert [row["content"]["system_prompt"] for row in page["results"]] == ["Be brief."] * 3 + [""]
    assert {row["by"] for row in page["results"]} == {"trader"}


def test_versions_are_paged_and_keep_their_numbers(api: Api, body: dict[str, Any]) -> None:
    trader = api("trader")
    url = f"/api/agents/{trader.post('/api/agents', body, format='json').json()['id']}"
    for number in range(4):
        trader.patch(url, {"description": f"{number}"}, format="json")
    page = trader.get(f"{url}/versions?page_size=2&page=2").json()
    assert [row["number"] for row in page["results"]] == [3, 2]
    assert trader.get(f"{url}/versions?kind=http").status_code == 400


def test_a_deleted_agent_can_still_be_read_back_and_a_strange_one_not(api: Api, body: dict[str, Any]) -> None:
    trader = api("trader")
    url = f"/api/agents/{trader.post('/api/agents', body, format='json').json()['id']}"
    trader.delete(url)
    assert trader.get(url).status_code == 404
    assert trader.get(f"{url}/versions").json()["results"][0]["content"]["name"] == "NewsDesk"
    answer = trader.get("/api/agents/00000000-0000-7000-8000-000000000000/versions")
    assert (answer.status_code, answer.json()["code"]) == (404, "AGENT_NOT_FOUND")
