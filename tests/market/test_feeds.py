"""News and fundamentals: files in, all or nothing, twice the same as once, and known only from when they were published."""

import gzip
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from market import feed_selectors
from market.feed_files import FUNDAMENTALS, NEWS, read_feed
from market.models import FeedImport, Fundamental, NewsItem
from market.problems import Problems
from market.services import fundamentals_import, news_import
from market.tables import Limits
from safety.models import AuditLog
from tradingsite.common.actor import Actor
from tradingsite.common.errors import ValidationFailed

SYSTEM = Actor.system("tests")
EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
NEWS_CSV = (
    "symbol,published_at,source,headline,body,url\n"
    'ACME,2026-01-05T13:30:00Z,wire,"ACME beats, again","Two\nlines",https://news.example.com/1\n'
    "ACME,2026-01-06T14:00:00+01:00,wire,ACME warns,,\n"
)
FUNDAMENTALS_CSV = (
    "symbol;metric;as_of;published_at;value;unit\n"
    "ACME;eps;2025-12-31;2026-02-01T12:00:00Z;1.2500000001;USD\n"
    "ACME;revenue_growth;2025-12-31;2026-02-01T12:00:00Z;12.5;percent\n"
)


def put(bring_in: Callable[..., FeedImport], text: str | bytes, **options: Any) -> FeedImport:
    raw = text.encode() if isinstance(text, str) else text
    return bring_in(actor=SYSTEM, file=io.BytesIO(raw), filename="feed.csv", **options)


def refusals(bring_in: Callable[..., FeedImport], text: str | bytes, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationFailed) as refused:
        put(bring_in, text, **options)
    assert refused.value.code == "IMPORT_REJECTED"
    return [(error.pointer, error.code) for error in refused.value.errors]


@pytest.mark.django_db
def test_a_second_import_of_the_same_news_changes_nothing() -> None:
    first = put(news_import, NEWS_CSV)
    assert (first.report["rows"], first.report["added"], first.report["unchanged"]) == (2, 2, 0)
    before = list(NewsItem.objects.values())
    second = put(news_import, NEWS_CSV)
    assert (second.report["added"], second.report["unchanged"]) == (0, 2)
    assert list(NewsItem.objects.values()) == before
    assert [item.published_at for item in feed_selectors.news()] == [
        datetime(2026, 1, 6, 13, tzinfo=UTC),
        datetime(2026, 1, 5, 13, 30, tzinfo=UTC),
    ]
    assert NewsItem.objects.get(headline="ACME beats, again").body == "Two\nlines"
    assert list(AuditLog.objects.values_list("action", flat=True)) == ["news.import", "news.import"]


@pytest.mark.django_db
def test_json_lines_and_gzip_are_read_as_csv_is() -> None:
    lines = [
        {"symbol": "ACME", "published_at": "2026-01-05T13:30:00Z", "source": "wire", "headline": "ACME beats, again",
         "body": "Two\nlines", "url": "https://news.example.com/1"},
        {"symbol": "ACME", "published_at": "2026-01-06T13:00:00Z", "source": "wire", "headline": "ACME warns",
         "body": None},
    ]  # fmt: skip
    put(news_import, "\n".join(json.dumps(line) for line in lines))
    assert put(news_import, gzip.compress(NEWS_CSV.encode())).report["added"] == 0
    assert NewsItem.objects.count() == 2


@pytest.mark.django_db
def test_figures_are_kept_to_the_last_digit_and_a_restatement_stands_beside_them() -> None:
    put(fundamentals_import, FUNDAMENTALS_CSV)
    assert Fundamental.objects.get(metric="eps").value == Decimal("1.2500000001")
    number = '{"symbol":"ACME","metric":"eps","as_of":"2025-12-31","published_at":"2026-03-01T12:00:00Z","value":1.1,"unit":"USD"}'
    assert put(fundamentals_import, number).report["added"] == 1
    assert put(fundamentals_import, FUNDAMENTALS_CSV).report["unchanged"] == 2

    def eps(day: datetime) -> Decimal | None:
        known = feed_selectors.fundamentals_known(symbol="ACME", until=day)
        return next((each.value for each in known if each.metric == "eps"), None)

    assert eps(datetime(2026, 1, 31, tzinfo=UTC)) is None
    assert eps(datetime(2026, 2, 2, tzinfo=UTC)) == Decimal("1.2500000001")
    assert eps(datetime(2026, 3, 2, tzinfo=UTC)) == Decimal("1.1")


@pytest.mark.django_db
def test_another_value_for_a_known_figure_is_refused_with_its_line_and_nothing_is_kept() -> None:
    put(fundamentals_import, FUNDAMENTALS_CSV)
    other = FUNDAMENTALS_CSV.replace("12.5", "13").replace("ACME;eps", "BETA;eps")
    assert refusals(fundamentals_import, other) == [("file/line/3/value", "conflicts_with_stored")]
    assert set(Fundamental.objects.values_list("symbol", flat=True)) == {"ACME"}
    assert FeedImport.objects.filter(status="failed").count() == 1
    twice = FUNDAMENTALS_CSV + "ACME;eps;2025-12-31;2026-02-01T12:00:00Z;2;USD\n"
    assert refusals(fundamentals_import, twice) == [("file/line/4/value", "conflicts_with_stored")]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", [("file", "empty_file")]),
        (NEWS_CSV.splitlines()[0], [("file", "empty_file")]),
        (NEWS_CSV.replace("headline", "title"), [("file/line/1/headline", "missing_column"), ("file/line/1/title", "unknown_column")]),
        (NEWS_CSV.replace("2026-01-05T13:30:00Z", "2026-01-05T13:30:00"), [("file/line/2/published_at", "not_a_time")]),
        (NEWS_CSV.replace("2026-01-05T", "2999-01-05T"), [("file/line/2/published_at", "in_the_future")]),
        (NEWS_CSV.replace("ACME,2026-01-06", "acme,2026-01-06"), [("file/line/4/symbol", "invalid_symbol")]),
        (NEWS_CSV.replace("ACME warns", ""), [("file/line/4/headline", "missing")]),
        (NEWS_CSV.replace("ACME warns", "x" * 301), [("file/line/4/headline", "too_long")]),
        (NEWS_CSV.replace("ACME warns", "a\x00b"), [("file/line/4/headline", "not_text")]),
        (NEWS_CSV + "ACME,too few\n", [("file/line/5", "wrong_number_of_cells")]),
        (b"\xff\xfe" + NEWS_CSV.encode(), [("file/line/1", "not_utf8")]),
        (gzip.compress(NEWS_CSV.encode(), mtime=0)[:-20], [("file", "malformed_gzip")]),
        ('{"symbol": "ACME"', [("file/line/1", "malformed_json")]),
        ('{"symbol": "A", "symbol": "B"}', [("file/line/1/symbol", "ambiguous_column")]),
        ('{"symbol": {"a": 1}}', [("file/line/1/symbol", "wrong_type")]),
        ('{"headline": "\\ud800", "symbol": "A", "source": "x", "published_at": "2026-01-05T13:30:00Z"}', [("file/line/1/headline", "not_text")]),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_line_and_column_and_nothing_is_imported(
    text: str | bytes, faults: list[tuple[str, str]]
) -> None:
    found = refusals(news_import, text)
    assert set(faults) <= set(found), found
    assert not NewsItem.objects.exists()


@pytest.mark.django_db
def test_what_is_too_large_is_refused_before_it_is_unpacked() -> None:
    small = Limits(file_bytes=1000, unpacked_bytes=2000, rows=3)
    assert refusals(news_import, NEWS_CSV * 10, limits=small) == [("file", "file_too_large")]
    bomb = gzip.compress(NEWS_CSV.encode() + b"x" * 1_000_000)
    assert ("file", "file_too_large") in refusals(news_import, bomb, limits=small)
    rows = NEWS_CSV + "".join(f"ACME,2026-01-06T14:00:0{n}Z,wire,More,,\n" for n in range(5))
    assert ("file/line/6", "too_many_rows") in refusals(news_import, rows, limits=small)


@given(
    raw=st.one_of(
        st.binary(max_size=300), st.text(max_size=300).map(lambda text: ("{" + text).encode(errors="replace"))
    )
)
def test_no_file_whatever_raises_another_error(raw: bytes) -> None:
    for columns in (NEWS, FUNDAMENTALS):
        problems = Problems()
        wall = datetime(2026, 1, 1, tzinfo=UTC)
        rows = read_feed(io.BytesIO(raw), columns, wall=wall, limits=Limits(), problems=problems)
        assert rows or problems


@pytest.mark.django_db
def test_news_is_known_from_when_it_was_published() -> None:
    put(news_import, NEWS_CSV)
    first = datetime(2026, 1, 5, 13, 30, tzinfo=UTC)
    assert feed_selectors.news_known(symbol="ACME", until=first - timedelta(microseconds=1), limit=10) == []
    assert len(feed_selectors.news_known(symbol="ACME", until=first, limit=10)) == 1
    assert feed_selectors.news_known(symbol="BETA", until=datetime(2027, 1, 1, tzinfo=UTC), limit=10) == []


@pytest.mark.django_db
def test_a_trader_uploads_and_a_viewer_lists_by_symbol_and_time(api: Callable[..., APIClient]) -> None:
    def upload(client: APIClient, url: str, text: str) -> Any:
        return client.post(url, {"file": SimpleUploadedFile("feed.csv", text.encode())}, format="multipart")

    made = upload(api("trader"), "/api/market/news", NEWS_CSV)
    assert made.status_code == 201
    assert (made.json()["kind"], made.json()["report"]["added"]) == ("news", 2)
    assert upload(api("viewer"), "/api/market/news", NEWS_CSV).status_code == 403
    bad = upload(api("trader"), "/api/market/fundamentals", FUNDAMENTALS_CSV.replace("12.5", "NaN"))
    assert bad.status_code == 400
    assert [(e["pointer"], e["code"]) for e in bad.json()["errors"]] == [("file/line/3/value", "not_finite")]
    assert upload(api("trader"), "/api/market/fundamentals", FUNDAMENTALS_CSV).status_code == 201
    listed = api("viewer").get("/api/market/news?symbol=ACME&published_before=2026-01-06&page_size=1").json()
    assert [item["headline"] for item in listed["results"]] == ["ACME beats, again"]
    figures = api("viewer").get("/api/market/fundamentals?metric=eps&published_after=2026-01-01").json()
    assert [(each["value"], each["unit"]) for each in figures["results"]] == [("1.2500000001", "USD")]
    assert api("viewer").get("/api/market/news?published_after=soon").status_code == 400


@pytest.mark.django_db
def test_the_commands_import_the_examples_and_name_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("import_news", str(EXAMPLES / "news.jsonl"))
    call_command("import_fundamentals", str(EXAMPLES / "fundamentals.csv"))
    assert "0 were there" in capsys.readouterr().out
    assert NewsItem.objects.exists()
    assert Fundamental.objects.exists()
    assert all("generated" in item.source for item in NewsItem.objects.all())
    bad = tmp_path / "bad.csv"
    bad.write_text(NEWS_CSV.replace("2026-01-05T", "2999-01-05T"))
    with pytest.raises(CommandError, match="file/line/2/published_at"):
        call_command("import_news", str(bad))
