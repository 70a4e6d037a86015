"""10,000 alert rules over 500 symbols: how long is a round, beside a loop that looks at one rule after the other?

Run: python benchmarks/alerts.py [--rules 10000] [--symbols 500] [--ticks 12] [--sqlite] [--json FILE]. It fills a database of
its own on the PostgreSQL of BENCH_DATABASE_URL (`--sqlite`: a file), gives every symbol a new bar a tick, and exits with 1 when
a tick takes a second or more.

- tick: every symbol has a new price; a few rules in a hundred change, are written and told.
- quiet: nothing has changed since.
- storm: all prices go from half to double, and from double to half, so that most rules change at once. It is measured and
  has no target.
- peer: the loop that one writes first, in the same run and on ticks of the same kind: a query for each rule with its state,
  its series and its price, the same judgement, and a transaction for each change. It makes the same functions do its looking,
  so that the ratio tells of the reading and writing alone.
"""

import argparse
import atexit
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

NAME = "bench_alerts"
SERVER = os.environ.get("BENCH_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")
TARGET_S = 1.0
BARS = 600
START = datetime(2024, 1, 1, tzinfo=UTC)
SERIES: dict[str, Any] = {"source": None, "timeframe": "1d", "adjustment": None}
MARKET: dict[str, Any] = {**SERIES, "max_age_s": None}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=10_000)
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--ticks", type=int, default=12)
    parser.add_argument("--peer-ticks", type=int, default=1, help="ticks that the peer looks at; each takes its time")
    parser.add_argument("--storms", type=int, default=2, help="pairs of ticks at which most rules change")
    parser.add_argument("--sqlite", action="store_true", help="the embedded database instead of PostgreSQL")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser.parse_args()


def _set_up(sqlite: bool) -> None:
    folder = tempfile.mkdtemp(prefix="desk-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in ("DATABASE_URL", "REDIS_URL", "BROKER_URL"):
        os.environ.pop(name, None)
    os.environ |= {"DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "tradingsite.settings", "LOG_LEVEL": "WARNING"}
    if not sqlite:
        _on_server("DROP DATABASE IF EXISTS {} WITH (FORCE)", "CREATE DATABASE {}")
        os.environ["DATABASE_URL"] = urlunsplit(urlsplit(SERVER)._replace(path=f"/{NAME}"))
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


def _on_server(*statements: str) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(SERVER, autocommit=True) as server:
        for statement in statements:
            server.execute(sql.SQL(statement).format(sql.Identifier(NAME)))  # type: ignore[arg-type]


class Market:
    """Series whose closes walk at random, a bar a day; `now` is the end of the newest."""

    def __init__(self, symbols: int, seed: int = 7) -> None:
        from market.models import DataSource, Instrument

        self.random = np.random.default_rng(seed)
        self.source = DataSource.objects.create(slug="bench", title="Bench", kind="import", clock="live")
        names = [f"S{number:04d}" for number in range(symbols)]
        self.instruments = Instrument.objects.bulk_create(
            Instrument(symbol=name, exchange="24/7", default_source=self.source) for name in names
        )
        steps = 1 + self.random.normal(0, 0.01, (symbols, BARS))
        self.closes = 100 * np.cumprod(steps, axis=1)
        self.series: list[Any] = []
        self._write()

    @property
    def now(self) -> datetime:
        return START + timedelta(days=self.closes.shape[1])

    def tick(self, factor: float = 1.0) -> None:
        """Give every symbol a new bar."""
        moved = self.closes[:, -1] * (1 + self.random.normal(0, 0.01, len(self.closes))) * factor
        self.closes = np.column_stack([self.closes, moved])
        self._write()

    def _write(self) -> None:
        from market import store
        from market.bars import from_ns, to_ns
        from market.models import BarSeries

        count = self.closes.shape[1]
        times = to_ns(START) + np.arange(count, dtype=np.int64) * 86_400_000_000_000
        made = not self.series
        if made:
            self.series = [
                BarSeries(instrument=each, source=self.source, timeframe="1d", adjustment="none")
                for each in self.instruments
            ]
        # An import writes each file durably; here only the reading is measured.
        sync, os.fsync = os.fsync, lambda _: None  # type: ignore[assignment]
        try:
            for series, closes in zip(self.series, self.closes, strict=True):
                folder = store.series_folder(
                    source="bench", symbol=series.instrument.symbol, timeframe="1d", adjustment="none"
                )
                columns = {"time": times, **dict.fromkeys(("open", "high", "low", "close"), closes)}
                series.version = store.write_version(folder, {**columns, "volume": np.ones(count)}, at_least=1)
                series.first_at, series.last_at = from_ns(int(times[0])), from_ns(int(times[-1]))
                series.bars_count = count
        finally:
            os.fsync = sync
        if made:
            BarSeries.objects.bulk_create(self.series)
        else:
            BarSeries.objects.bulk_update(self.series, ["version", "last_at", "bars_count"], batch_size=250)


def make_rules(market: Market, count: int) -> dict[str, int]:
    """Make rules whose thresholds lie around the prices, of seven kinds, and return how many of each."""
    from safety.alerting.kinds import config_checked
    from safety.models import AlertRule

    draw = random.Random(7)
    rules, kinds = [], {}
    for number in range(count):
        index = number % len(market.instruments)
        price = float(market.closes[index, -1])
        around = Decimal(f"{price * draw.uniform(0.9, 1.1):.4f}")
        kind, threshold, config = draw.choices(
            [
                ("price_above", around, MARKET),
                ("price_below", around, MARKET),
                ("price_crosses", around, {**MARKET, "direction": "both"}),
                ("percent_move", Decimal(draw.randint(1, 6)), {**MARKET, "direction": "both", "bars": draw.randint(1, 9)}),
                ("indicator", around, {
                    **MARKET, "indicator": draw.choice(["sma", "ema"]), "params": {"period": draw.choice([5, 10, 20, 50])},
                    "operator": "above",
                }),
                ("data_stale", None, {**SERIES, "max_age_s": 3600}),
                ("expression", None, {
                    **MARKET, "expression": f"price > {around} and abs(change_percent) > {draw.randint(0, 3)}",
                }),
            ],
            weights=[20, 20, 20, 15, 15, 5, 5],
        )[0]  # fmt: skip
        symbol = market.instruments[index].symbol
        complete = config_checked(kind, symbol=symbol, threshold=threshold, config=config)
        kinds[kind] = kinds.get(kind, 0) + 1
        rules.append(
            AlertRule(
                name=f"rule {number}", kind=kind, symbol=symbol, threshold=threshold, config=complete,
                channels=["in_app", "webhook"],
            )
        )  # fmt: skip
    AlertRule.objects.bulk_create(rules, batch_size=1000)
    return kinds


def one_by_one(now: datetime) -> tuple[int, int]:
    """Look at the rules as one first would: one after the other. Returns rules and alerts."""
    from safety.alerting import rounds
    from safety.alerting.measures import observe, watch_of
    from safety.alerting.observations import Rule, Stored
    from safety.alerting.selectors import _RULE, states_by_rule
    from safety.models import AlertRule

    ids = list(AlertRule.objects.alive().filter(enabled=True).values_list("pk", flat=True))
    triggered = 0
    for rule_id in ids:
        rule = Rule(*AlertRule.objects.values_list(*_RULE).get(pk=rule_id))
        stored = states_by_rule([rule_id]).get(rule_id, Stored())
        watch = watch_of(rule)
        found = observe(rule, watch, rounds.world_at(now, [watch.needs]))
        judged = rounds._judging(rule, found, watch.crossing, now)
        if judged(stored) is not None:
            triggered += rounds.apply([rounds.Look(rule, stored, judged)], now=now)[1]
    return len(ids), triggered


def main() -> int:
    arguments = _arguments()
    _set_up(arguments.sqlite)
    try:
        return _measure(arguments)
    finally:
        from django.db import connection

        connection.close()
        if not arguments.sqlite:
            connection.close_pool()
            _on_server("DROP DATABASE IF EXISTS {} WITH (FORCE)")


def _timed(work: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def _measure(arguments: argparse.Namespace) -> int:
    from safety.alerting.rounds import evaluate

    market = Market(arguments.symbols)
    kinds = make_rules(market, arguments.rules)
    print(f"{arguments.rules} rules over {arguments.symbols} symbols of {BARS} bars: {kinds}")
    first, result = _timed(lambda: evaluate(now=market.now))
    print(f"first round, every rule written        {first * 1000:8.0f} ms  {result}")
    ticks = []
    for _ in range(arguments.ticks):
        market.tick()
        seconds, result = _timed(lambda: evaluate(now=market.now))
        ticks.append(seconds)
        share = 100 * result.changed / result.rules
        print(
            f"tick                                   {seconds * 1000:8.0f} ms  {share:.1f} % changed, {result.triggered} alerts"
        )
    quiet, result = _timed(lambda: evaluate(now=market.now + timedelta(seconds=2)))
    print(f"quiet                                  {quiet * 1000:8.0f} ms  {result.changed} changed")
    peer = []
    for _ in range(arguments.peer_ticks):
        market.tick()
        seconds, (_, triggered) = _timed(lambda: one_by_one(market.now))
        peer.append(seconds)
        print(f"peer, one rule after the other         {seconds * 1000:8.0f} ms  {triggered} alerts")
    storms = []
    for factor in (0.5, *(4.0, 0.25) * arguments.storms):
        market.tick(factor)
        seconds, result = _timed(lambda: evaluate(now=market.now))
        if factor == 0.5:
            # Where the storms begin from: of these rules only those change that were not there yet.
            continue
        storms.append(seconds)
        print(
            f"storm                                  {seconds * 1000:8.0f} ms  {result.changed} changed, {result.triggered} alerts"
        )
    median, slowest = statistics.median(ticks), max(ticks)
    ratio = statistics.median(peer) / median if peer else None
    print(f"\ntick: median {median * 1000:.0f} ms, slowest {slowest * 1000:.0f} ms, target {TARGET_S * 1000:.0f} ms")
    print(f"quiet: {quiet * 1000:.0f} ms; storm: median {statistics.median(storms) * 1000:.0f} ms")
    if ratio is not None:
        print(f"the peer takes {ratio:.1f} times as long")
    if arguments.json:
        figures = {
            "first_s": first,
            "ticks_s": ticks,
            "quiet_s": quiet,
            "peer_s": peer,
            "storms_s": storms,
            "ratio": ratio,
        }
        arguments.json.write_text(json.dumps({"arguments": vars(arguments) | {"json": None}, **figures}, indent=1))
    if slowest >= TARGET_S:
        print("MISSED: a tick took too long")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
