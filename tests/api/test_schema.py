"""What OpenAPI says of a route is what the route does."""

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return document


def query(schema: dict[str, Any], path: str) -> dict[str, Any]:
    parameters = schema["paths"][f"/api/v1{path}"]["get"].get("parameters", [])
    return {p["name"]: p["schema"] for p in parameters if p["in"] == "query"}


def test_only_the_collection_itself_names_its_filters(schema: dict[str, Any]) -> None:
    assert {"type", "deleted", "ordering", "search", "page"} <= set(query(schema, "/workflows"))
    assert set(query(schema, "/workflows/{id}/versions")) == {"page", "page_size"}
    assert set(query(schema, "/workflows/{id}/steps")) == set()


def test_lists_that_filter_by_hand_name_their_parameters(schema: dict[str, Any]) -> None:
    assert {"status", "symbol", "cursor", "count", "date_range"} <= set(query(schema, "/portfolio/orders"))
    assert {"order_id", "symbol", "cursor"} <= set(query(schema, "/portfolio/fills"))
    assert {"code", "allowed", "cursor"} <= set(query(schema, "/safety/decisions"))


def test_a_range_of_dates_is_two_and_a_page_has_its_bounds(schema: dict[str, Any]) -> None:
    names = query(schema, "/runs")
    assert names["date_range"]["pattern"] == "^[^,]*,[^,]*$"
    assert "format" not in names["date_range"]
    assert (names["page_size"]["minimum"], names["page_size"]["maximum"]) == (1, 200)


def test_a_strict_body_says_that_it_takes_nothing_more(schema: dict[str, Any]) -> None:
    shapes = schema["components"]["schemas"]
    assert shapes["TokenRequestRequest"]["additionalProperties"] is False
    assert "additionalProperties" not in shapes["TokenPair"]


def test_an_exact_number_may_be_sent_whole_and_comes_as_text(schema: dict[str, Any]) -> None:
    shapes = schema["components"]["schemas"]
    sent = shapes["OrderPlaceRequest"]["properties"]["quantity"]["oneOf"]
    assert [kind["type"] for kind in sent] == ["string", "integer"]
    assert shapes["OrderDetail"]["properties"]["quantity"]["type"] == "string"


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/market/bars", "get", {"404", "406"}),
        ("/workflows", "post", {"413", "415"}),
        ("/portfolio/orders", "post", {"404"}),
        ("/workflows/{id}/versions/{number}/restore", "post", {"412"}),
    ],
)
def test_the_refusals_of_a_route_are_told(schema: dict[str, Any], path: str, method: str, statuses: set[str]) -> None:
    assert statuses <= set(schema["paths"][f"/api/v1{path}"][method]["responses"])
