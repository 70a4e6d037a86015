"""Requests at the edges of the site's own routes."""

from collections.abc import Callable

import pytest
import yaml
from django.test import Client
from rest_framework.test import APIClient


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_write_to_an_unknown_route_is_a_404_and_no_page_about_a_form(method: str) -> None:
    answer = getattr(Client(enforce_csrf_checks=True), method)("/api/v1/workflows/no,such/clone")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "NOT_FOUND"


def test_a_write_to_the_health_routes_is_a_405() -> None:
    client = Client(enforce_csrf_checks=True)
    assert [client.post(path).status_code for path in ("/health", "/health/ready")] == [405, 405]


@pytest.mark.parametrize("path", ["/api/schema", "/docs", "/redoc"])
def test_a_problem_of_a_route_that_answers_otherwise_is_json_too(path: str) -> None:
    answer = Client().post(path)
    assert answer.status_code == 405
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "METHOD_NOT_ALLOWED"


def test_the_schema_is_still_yaml_for_who_asks_nothing() -> None:
    assert yaml.load(Client().get("/api/schema").content, Loader=yaml.CSafeLoader)["openapi"].startswith("3.")


@pytest.mark.django_db
def test_a_method_that_is_not_offered_is_a_405_whatever_its_parameters(api: Callable[..., APIClient]) -> None:
    answer = api("viewer").generic("TRACE", "/api/workflows?colour=red")
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")


@pytest.mark.django_db
def test_the_allowed_methods_are_those_that_are_answered(api: Callable[..., APIClient]) -> None:
    answer = api("viewer").options("/api/workflows")
    assert answer.status_code == 405
    assert set(answer["Allow"].split(", ")) == {"GET", "POST", "HEAD"}


@pytest.mark.django_db
def test_a_fault_of_the_whole_body_is_told_without_an_empty_name(api: Callable[..., APIClient]) -> None:
    answer = api("trader").post("/api/workflows", [], format="json")
    assert answer.json()["detail"] == "Must be a JSON object, not list."
