"""Reading a million runs: every filter, order and depth of the lists, their totals, the figures and the pages.

Run: python benchmarks/lists.py [--keep] [--runs 1000000] [--only TEXT] [--json FILE]. It fills a PostgreSQL database of
its own (three minutes; `--keep` keeps it for the next call), asks the site's own routes through its WSGI application
with an API key, and exits with 1 when a target is missed:

- p95 of every address below 200 ms,
- a page deep in a list at 0.8 of the first page's rate at least,
- the list at 1.6 times the rate of a stock Django REST Framework list of the same rows at least.
"""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.reading import server

P95_MS, DEEP, STOCK = 200.0, 0.8, 1.6
RUNS, DEPTH = 1_000_000, 500_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS, help="how many runs to fill in")
    parser.add_argument("--keep", action="store_true", help="use the database of an earlier call, and leave it there")
    parser.add_argument("--only", default="", help="measure only what has this text in its name")
    parser.add_argument("--rounds", type=int, default=60, help="requests per address")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    fresh = not (arguments.keep and server.exists())
    if fresh:
        server.create()
    try:
        server.setup_django()
        from benchmarks.reading.fill import fill, migrate

        if fresh:
            fill(arguments.runs, print)
        else:
            migrate()
        return _measure(arguments)
    finally:
        from django.db import connection

        connection.close_pool()
        if not arguments.keep:
            server.drop()


def _sites() -> tuple[Any, Any]:
    """Return the way to the API with a key and the way to the pages with a session."""
    from django.contrib.auth import get_user_model
    from django.core.wsgi import get_wsgi_application
    from django.test import Client

    from benchmarks.reading.fill import USERNAME
    from benchmarks.reading.timing import Site
    from tradingsite.common.access.services import api_key_create
    from tradingsite.common.actor import Actor
    from tradingsite.common.roles import Role

    user = get_user_model().objects.get(username=USERNAME)
    _, secret = api_key_create(actor=Actor.for_user(user), user=user, name="benchmark", role=Role.VIEWER)
    browser = Client()
    browser.force_login(user)
    application = get_wsgi_application()
    cookie = f"sessionid={browser.cookies['sessionid'].value}"
    return (
        Site(application, {"HTTP_AUTHORIZATION": f"Api-Key {secret}"}),
        Site(application, {"HTTP_COOKIE": cookie}),
    )


def _measure(arguments: argparse.Namespace) -> int:
    from benchmarks.reading import cases
    from benchmarks.reading.fill import desk
    from benchmarks.reading.timing import measured, ratio

    api, browser = _sites()
    names = desk()
    found = [
        case
        for made in (
            cases.run_lists(names, DEPTH), cases.totals(names), cases.around(names), cases.analytics(names),
            cases.pages(DEPTH),
        )
        for case in made
        if arguments.only in f"{case.group}: {case.name}"
    ]  # fmt: skip
    rows: list[dict[str, Any]] = []
    missed: list[str] = []
    for case in found:
        site = browser if case.page else api
        times = measured(site, case.url, rounds=arguments.rounds, seconds=6.0)
        row = {**asdict(case), "p50_ms": times.p50, "p95_ms": times.p95, "requests": times.count}
        note = ""
        if times.p95 >= P95_MS:
            note = f"  MISSED: {P95_MS:.0f} ms"
            missed.append(f"{case.group}: {case.name}: p95 {times.p95:.0f} ms")
        if case.deep:
            row["deep_ratio"], _, _ = ratio(site, case.url, case.first, rounds=9, block=6)
            note += f"  {row['deep_ratio']:.2f} of the first page's rate"
            if row["deep_ratio"] < DEEP:
                note += f"  MISSED: {DEEP}"
                missed.append(f"{case.group}: {case.name}: {row['deep_ratio']:.2f} of the first page's rate")
        print(f"{case.group + ': ' + case.name:64} p50 {times.p50:7.1f} ms  p95 {times.p95:7.1f} ms{note}", flush=True)
        rows.append(row)
    peers: list[dict[str, Any]] = []
    if not arguments.only or arguments.only in "stock":
        for size in (50, 200):
            for name, path, target in (("stock", "/stock/runs", STOCK), ("stock, tuned", "/stock/tuned", 0.0)):
                query = f"?page_size={size}"
                times_as_often, ours, theirs = ratio(api, f"/api/v1/runs{query}", path + query, rounds=21)
                peers.append(
                    {"peer": name, "page_size": size, "ratio": times_as_often, "ours_hz": ours, "peer_hz": theirs}
                )
                note = ""
                if times_as_often < target:
                    note = f"  MISSED: {target}"
                    missed.append(f"list against {name}, {size} rows: {times_as_often:.2f}")
                print(
                    f"{f'list of {size} against {name}':64} {ours:5.0f}/s to {theirs:5.0f}/s  {times_as_often:.2f}{note}"
                )
    if arguments.json:
        machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
        told = {"at": time.time(), **machine, "cases": rows, "peers": peers, "missed": missed}
        arguments.json.write_text(json.dumps(told, indent=1))
    print(f"\n{len(missed)} targets missed" + "".join(f"\n  {line}" for line in missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
