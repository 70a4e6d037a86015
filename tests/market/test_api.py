"""The market over HTTP."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from market.indicators import INDICATORS
from market.models import BarImport, BarSeries, DataSource, Instrument
from tests.market.conftest import daily_csv, sample_slice

Api = Callable[..., APIClient]
BASE = "/api/v1/market"


def upload(content: str | bytes, name: str = "prices.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content.encode() if isinstance(content, str) else content)


def send(client: APIClient, content: str | bytes, **options: Any) -> Any:
    return client.post(f"{BASE}/imports", {"file": upload(content), **options}, format="multipart")


def test_a_file_is_uploaded_and_read_back(api: Api) -> None:
    client = api("trader")
    answer = send(client, daily_csv(5), symbols="ACME", source="my-prices", clock="historical")
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["status"], body["report"]["added"], body["source"]) == ("done", 5, "my-prices")
    assert client.get(answer["Location"]).json()["report"]["series"][0]["symbol"] == "ACME"
    bars = client.get(f"{BASE}/bars", {"symbol": "ACME", "limit": 2}).json()
    assert (bars["count"], bars["generated"], bars["source"]) == (2, False, "my-prices")
    assert bars["bars"][-1] == {
        "time": "2024-01-08T14:30:00Z",
        "open": 104.0,
        "high": 106.0,
        "low": 103.0,
        "close": 105.0,
        "volume": 1004.0,
    }


def test_the_shipped_file_is_taken_as_it_is(api: Api) -> None:
    client = api("trader")
    content = sample_slice("IBM", 50) + b""
    given = {"symbols": "IBM", "source": "mine", "clock": "historical", "adjust_from": "adj_close"}
    answer = client.post(
        "/api/market/imports/", {"file": upload(content, "stocks.csv.gz"), **given}, format="multipart"
    )
    assert answer.status_code == 201, answer.content
    assert answer.json()["report"]["series"][0]["adjustment"] == "split_dividend"


def test_a_mapping_travels_as_json_in_the_form(api: Api) -> None:
    text = "When,O,H,L,Schluss\n2024-01-02,1,2,1,2\n"
    mapping = json.dumps({"time": "When", "close": "Schluss"})
    answer = send(api("trader"), text, symbols="ACME", mapping=mapping)
    assert answer.status_code == 201, answer.content


def test_a_bad_file_is_a_400_that_names_the_line(api: Api) -> None:
    answer = send(api("trader"), "Date,Open,High,Low,Close\n2024-01-02,100,98,99,100\n", symbols="ACME")
    assert answer.status_code == 400
    assert answer["Content-Type"].startswith("application/problem+json")
    body = answer.json()
    assert body["code"] == "IMPORT_REJECTED"
    assert body["errors_total"] == 1
    assert body["errors"][0]["pointer"] == "file/line/2/high"
    assert BarImport.objects.get(pk=body["import_id"]).status == "failed"
    assert not Instrument.objects.exists()


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"timeframe": "2d"}, "timeframe"),
        ({"source": "../up"}, "source"),
        ({"source": "sample"}, "source"),
        ({"mapping": "{"}, "mapping"),
        ({"mapping": "[1]"}, "mapping"),
        ({"mapping": '{"close": 1}'}, "mapping"),
        ({"surprise": "1"}, "surprise"),
        ({"tz": "Mars"}, "tz"),
    ],
)
def test_a_wrong_option_is_named(api: Api, options: dict[str, Any], pointer: str) -> None:
    answer = send(api("trader"), daily_csv(2), **{"symbols": "ACME", **options})
    assert answer.status_code == 400, answer.content
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert not BarSeries.objects.exists()


def test_a_form_without_a_file_is_a_400(api: Api) -> None:
    answer = api("trader").post(f"{BASE}/imports", {"symbols": "ACME"}, format="multipart")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["file"]


def test_the_sample_is_imported_by_name_and_twice_changes_nothing(api: Api) -> None:
    client = api("trader")
    first = client.post(f"{BASE}/imports", {"source": "sample", "symbols": ["IBM", "MSFT"]}, format="json")
    assert first.status_code == 201, first.content
    assert first.json()["report"]["added"] == 4 * 3270
    again = client.post(f"{BASE}/imports", {"source": "sample", "symbols": ["IBM"]}, format="json")
    assert again.json()["report"]["added"] == 0
    assert DataSource.objects.get().clock == "historical"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "source"),
        ({"source": "nowhere"}, "source"),
        ({"source": "sample", "symbols": ["TSLA"]}, "symbols/0"),
        ({"source": "sample", "timeframe": "1h"}, "timeframe"),
        ({"source": "demo"}, "symbols"),
        ({"source": "demo", "symbols": ["ok", "../x"]}, "symbols/0"),
        ({"source": "demo", "symbols": "ACME"}, "symbols"),
        ({"source": "sample", "extra": 1}, "extra"),
    ],
)
def test_a_wrong_request_by_name_is_named(api: Api, body: dict[str, Any], pointer: str) -> None:
    answer = api("trader").post(f"{BASE}/imports", body, format="json")
    assert answer.status_code == 400, answer.content
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


def test_yahoo_without_its_extra_says_what_to_install(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    real = importlib.import_module

    def absent(name: str, package: str | None = None) -> Any:
        if name == "yfinance":
            raise ModuleNotFoundError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    answer = api("trader").post(f"{BASE}/imports", {"source": "yahoo", "symbols": ["IBM"]}, format="json")
    assert (answer.status_code, answer.json()["code"], answer.json()["pip_extra"]) == (503, "MISSING_EXTRA", "yahoo")


def test_generated_bars_are_labelled_and_need_no_import(api: Api) -> None:
    body = api("viewer").get(f"{BASE}/bars", {"symbol": "ACME", "source": "demo", "timeframe": "1h", "limit": 3}).json()
    assert body["generated"] is True
    assert body["count"] == len(body["bars"]) == 3


@pytest.mark.parametrize(
    ("query", "status", "pointer"),
    [
        ({}, 400, "symbol"),
        ({"symbol": "ibm"}, 400, "symbol"),
        ({"symbol": "IBM", "timeframe": "2d"}, 400, "timeframe"),
        ({"symbol": "IBM", "limit": "0"}, 400, "limit"),
        ({"symbol": "IBM", "limit": "many"}, 400, "limit"),
        ({"symbol": "IBM", "start": "yesterday"}, 400, "start"),
        ({"symbol": "IBM", "start": "2024-01-02T00:00:00"}, 400, "start"),
        ({"symbol": "IBM", "source": "../x"}, 400, "source"),
        ({"symbol": "IBM", "what": "1"}, 400, "what"),
        ({"symbol": "IBM", "start": "9999-12-31T00:00:00Z"}, 404, None),
        ({"symbol": "IBM", "end": "0001-01-01T00:00:00Z"}, 404, None),
        ({"symbol": "IBM", "source": "demo", "timeframe": "1h", "start": "9999-12-31T00:00:00Z"}, 404, None),
        ({"symbol": "IBM", "source": "demo", "version": "2147483647"}, 404, None),
        ({"symbol": "NOPE"}, 404, None),
        ({"symbol": "IBM", "source": "import"}, 404, None),
        ({"symbol": "IBM", "version": "9"}, 404, None),
    ],
)
def test_wrong_questions_for_bars_are_answered_with_the_reason(
    api: Api, sample: BarImport, query: dict[str, str], status: int, pointer: str | None
) -> None:
    answer = api("viewer").get(f"{BASE}/bars", query)
    assert answer.status_code == status, answer.content
    if pointer:
        assert pointer in [error["pointer"] for error in answer.json()["errors"]]


def test_bars_of_the_sample_are_the_files_figures(api: Api, sample: BarImport) -> None:
    query = {"symbol": "AAPL", "adjustment": "none", "end": "2000-03-02T23:00:00Z"}
    body = api("viewer").get(f"{BASE}/bars", query).json()
    assert [bar["close"] for bar in body["bars"]] == [130.31, 122.0]
    assert body["market_now"] == "2013-03-01T14:30:00Z"


def test_instruments_are_listed_changed_and_guarded_by_etag(api: Api, sample: BarImport) -> None:
    trader, operator = api("trader"), api("operator")
    listed = trader.get(f"{BASE}/instruments", {"search": "micro"}).json()
    assert [row["symbol"] for row in listed["results"]] == ["MSFT"]
    made = operator.post(
        f"{BASE}/instruments", {"symbol": "BTC-USD", "exchange": "24/7", "lot_size": "0.001"}, format="json"
    )
    assert (made.status_code, made.json()["lot_size"]) == (201, "0.001")
    url, etag = f"{BASE}/instruments/BTC-USD", made["ETag"]
    changed = operator.patch(url, {"enabled": False}, format="json", headers={"If-Match": etag})
    assert (changed.status_code, changed.json()["enabled"]) == (200, False)
    stale = operator.patch(url, {"enabled": True}, format="json", headers={"If-Match": etag})
    assert stale.status_code == 412
    twice = operator.post(f"{BASE}/instruments", {"symbol": "BTC-USD"}, format="json")
    assert (twice.status_code, twice.json()["code"]) == (409, "INSTRUMENT_EXISTS")
    assert trader.patch(f"{BASE}/instruments/IBM", {"name": "x"}, format="json").status_code == 403
    assert operator.patch(f"{BASE}/instruments/IBM", {"name": "Big Blue"}, format="json").json()["name"] == "Big Blue"
    assert trader.get(f"{BASE}/instruments/NOPE").json()["code"] == "INSTRUMENT_UNKNOWN"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "symbol"),
        ({"symbol": "../X"}, "symbol"),
        ({"symbol": "TOOLONGASYMBOL99"}, "symbol"),
        ({"symbol": "ABC", "lot_size": "0"}, "lot_size"),
        ({"symbol": "ABC", "lot_size": 0.1}, "lot_size"),
        ({"symbol": "ABC", "exchange": "XXXX"}, "exchange"),
        ({"symbol": "ABC", "currency": "usd"}, "currency"),
        ({"symbol": "ABC", "price_precision": 11}, "price_precision"),
        ({"symbol": "ABC", "default_source": "nowhere"}, "default_source"),
        ({"symbol": "ABC", "enabled": "perhaps"}, "enabled"),
        ({"symbol": "ABC", "colour": "red"}, "colour"),
    ],
)
def test_a_wrong_instrument_is_a_400_that_names_the_field(api: Api, body: dict[str, Any], pointer: str) -> None:
    answer = api("operator").post(f"{BASE}/instruments", body, format="json")
    assert answer.status_code == 400, answer.content
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert not Instrument.objects.exists()


def test_sources_say_what_they_have(api: Api, sample: BarImport) -> None:
    send(api("trader"), daily_csv(3), symbols="ACME", source="mine")
    rows = {row["slug"]: row for row in api("viewer").get(f"{BASE}/sources").json()}
    assert set(rows) == {"demo", "mine", "sample", "yahoo"}
    assert rows["demo"]["generated"] is True
    assert rows["mine"]["symbols"] == ["ACME"]
    assert rows["mine"]["importable"] is False


def test_the_indicators_come_with_their_schemas(api: Api) -> None:
    rows = api("viewer").get(f"{BASE}/indicators").json()
    assert [row["name"] for row in rows] == sorted(INDICATORS)
    rsi = next(row for row in rows if row["name"] == "rsi")
    assert rsi["params"]["properties"]["period"]["default"] == 14
    assert rsi["warmup"] == 14


ROUTES = [
    ("get", "instruments", 1),
    ("post", "instruments", 2),
    ("get", "instruments/IBM", 1),
    ("patch", "instruments/IBM", 2),
    ("put", "instruments/IBM", 2),
    ("get", "bars?symbol=IBM", 1),
    ("get", "imports", 1),
    ("post", "imports", 2),
    ("get", "sources", 1),
    ("get", "indicators", 1),
]


@pytest.mark.parametrize(("method", "route", "role"), ROUTES)
def test_nobody_enters_without_credentials_and_viewers_write_nothing(
    api: Api, sample: BarImport, method: str, route: str, role: int
) -> None:
    before = (Instrument.objects.count(), BarImport.objects.count())
    assert getattr(api(), method)(f"{BASE}/{route}", {}, format="json" if method != "get" else None).status_code == 401
    answer = getattr(api("viewer"), method)(f"{BASE}/{route}", {}, format="json" if method != "get" else None)
    assert answer.status_code == (200 if role == 1 else 403)
    assert (Instrument.objects.count(), BarImport.objects.count()) == before


def test_imports_are_paged_newest_first(api: Api, sample: BarImport) -> None:
    client = api("trader")
    for count in (2, 3, 4):
        send(client, daily_csv(count), symbols="ACME")
    page = client.get(f"{BASE}/imports", {"page_size": 2, "count": "true"}).json()
    assert page["count"] == 4
    assert "report" not in page["results"][0]
    rest = client.get(page["next"]).json()
    ids = [row["id"] for row in page["results"] + rest["results"]]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 4
    assert client.get(f"{BASE}/imports", {"status": "failed"}).json()["results"] == []
    assert client.get(f"{BASE}/imports/nonsense").status_code == 404
    assert client.get(f"{BASE}/imports/{'0' * 32}").status_code == 404


def test_a_decompression_bomb_is_a_400(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from market.services import imports
    from market.tables import Limits

    monkeypatch.setattr(imports, "LIMITS", Limits(unpacked_bytes=1_000_000))
    monkeypatch.setitem(imports.bars_import_file.__kwdefaults__, "limits", imports.LIMITS)
    bomb = gzip.compress(b"Date,Open,High,Low,Close\n" + b"1" * 20_000_000)
    answer = send(api("trader"), bomb, symbols="ACME")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "file_too_large")
