"""The commands and the admin: other doors to the same services."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from market.models import BarImport, BarSeries, Instrument
from tests.market.conftest import SAMPLE, daily_csv

Browser = Callable[..., Client]


def call(*args: Any) -> str:
    out = StringIO()
    call_command(*map(str, args), stdout=out)
    return out.getvalue()


def test_the_command_imports_a_file_and_reports(db: None, tmp_path: Path) -> None:
    file = tmp_path / "acme.csv"
    file.write_text(daily_csv(5))
    text = call("import_bars", file, "--symbols", "ACME", "--source", "mine")
    assert "5 bars added" in text
    assert "0 bars added" in call("import_bars", file, "--symbols", "ACME", "--source", "mine")


def test_the_command_maps_columns(db: None) -> None:
    mapping = ("--map", "close=Close", "--map", "adj_close=Adj Close", "--adjust-from", "adj_close")
    call("import_bars", SAMPLE, "--symbols", "IBM", *mapping)
    assert BarSeries.objects.get().adjustment == "split_dividend"


def test_the_command_names_each_bad_line(db: None, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("Date,Open,High,Low,Close\n2024-01-02,100,98,99,100\n2024-01-06,1,1,1,1\n")
    with pytest.raises(CommandError) as caught:
        call("import_bars", file, "--symbols", "ACME")
    assert "file/line/2/high" in str(caught.value)
    assert "file/line/3/time" in str(caught.value)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("import_bars",), "FILE"),
        (("import_bars", "/nowhere/at/all.csv", "--symbols", "A"), "cannot be read"),
        (("import_bars", SAMPLE, "--map", "close"), "column=Header"),
        (("import_bars", "--source", "nowhere"), "Must be one of"),
        (("import_bars", SAMPLE, "--tz", "Mars"), "no time zone"),
    ],
)
def test_a_wrong_call_is_explained(db: None, args: tuple[Any, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call(*args)


def test_the_sample_is_loaded_twice_the_same(db: None) -> None:
    first, second = call("load_sample"), call("load_sample")
    assert f"{2 * (3 * 3270 + 2148 + 196)} bars added" in first
    assert " 0 bars added" in second
    assert Instrument.objects.count() == 5


def test_the_demo_comes_by_name(db: None) -> None:
    assert "invented" in call("import_bars", "--source", "demo", "--symbols", "ACME")


def test_the_admin_shows_every_list(browser: Browser, sample: BarImport) -> None:
    client = browser("admin")
    for name in ("instrument", "datasource", "barseries", "barimport"):
        assert client.get(reverse(f"admin:market_{name}_changelist")).status_code == 200
    assert client.get(reverse("admin:market_barimport_change", args=[sample.pk])).status_code == 200
    assert client.post(reverse("admin:market_barimport_delete", args=[sample.pk])).status_code == 403
    assert client.get(reverse("admin:market_barseries_add")).status_code == 403


def test_an_instrument_is_made_and_changed_in_the_admin(browser: Browser) -> None:
    client = browser("admin")
    form = {
        "symbol": "ACME",
        "name": "Acme",
        "exchange": "XNYS",
        "currency": "USD",
        "asset_class": "equity",
        "price_precision": "2",
        "quantity_precision": "0",
        "lot_size": "1",
        "default_source": "",
        "enabled": "on",
    }
    assert client.post(reverse("admin:market_instrument_add"), form).status_code == 302
    made = Instrument.objects.get()
    form.pop("symbol")
    url = reverse("admin:market_instrument_change", args=[made.pk])
    assert client.post(url, {**form, "name": "Acme Inc."}).status_code == 302
    made.refresh_from_db()
    assert (made.name, made.version) == ("Acme Inc.", 2)
    for wrong in ({"exchange": "XXXX"}, {"lot_size": "0"}, {"price_precision": "11"}, {"currency": "usd"}):
        assert client.post(url, {**form, **wrong}).status_code == 200
    made.refresh_from_db()
    assert made.exchange == "XNYS"


def test_a_file_is_imported_in_the_admin(browser: Browser) -> None:
    client, url = browser("admin"), reverse("admin:market_barimport_new")
    assert client.get(url).status_code == 200
    base = {"source": "mine", "timeframe": "1d", "on_conflict": "error", "symbols": "ACME"}
    bad = SimpleUploadedFile("bad.csv", b"Date,Open,High,Low,Close\n2024-01-02,100,98,99,100\n")
    answer = client.post(url, {**base, "file": bad})
    assert answer.status_code == 400
    assert "Line 2: high 98 is below low 99." in answer.content.decode()
    assert client.post(url, base).status_code == 400
    good = client.post(url, {**base, "file": SimpleUploadedFile("good.csv", daily_csv(5).encode())})
    assert good.status_code == 302
    assert BarSeries.objects.get().bars_count == 5
    named = client.post(url, {**base, "from_source": "sample", "symbols": "FB"})
    assert named.status_code == 302
