"""Asking the site through its WSGI application, as a server does, and timing the answers."""

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

WARM = 3


@dataclass(frozen=True)
class Times:
    """Milliseconds."""

    p50: float
    p95: float
    count: int


class Site:
    """One caller's way to the site, with the credentials of a key or of a session."""

    def __init__(self, application: Callable[..., Any], headers: Mapping[str, str]) -> None:
        self._application = application
        self._environ = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "HTTP_ACCEPT": "*/*",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            **headers,
        }

    def get(self, url: str) -> bytes:
        """Return the body of a 200.

        Raises:
            SystemExit: for any other answer, as a fast refusal would look like a fast list.
        """
        path, _, query = url.partition("?")
        answered: list[str] = []
        environ = {**self._environ, "PATH_INFO": path, "QUERY_STRING": query, "wsgi.input": BytesIO()}
        response = self._application(environ, lambda status, headers, exc_info=None: answered.append(status))
        try:
            body = b"".join(response)
        finally:
            response.close()
        if not answered[0].startswith("200"):
            raise SystemExit(f"{url} answered {answered[0]}: {body[:500].decode(errors='replace')}")
        return body

    def json(self, url: str) -> Any:
        return json.loads(self.get(url))

    def timed(self, url: str) -> float:
        """Return the milliseconds of one answer."""
        start = time.perf_counter()
        self.get(url)
        return (time.perf_counter() - start) * 1000


def measured(site: Site, url: str, *, rounds: int, seconds: float) -> Times:
    """Ask `rounds` times, or, when that takes longer than `seconds`, as often as fits, though twenty times at least."""
    for _ in range(WARM):
        site.get(url)
    until = time.perf_counter() + seconds
    times: list[float] = []
    while len(times) < rounds and (len(times) < 20 or time.perf_counter() < until):
        times.append(site.timed(url))
    return Times(statistics.median(times), quantile(times, 0.95), len(times))


def ratio(site: Site, ours: str, other: str, *, rounds: int, block: int = 10) -> tuple[float, float, float]:
    """Return how often `ours` is answered while `other` is answered once, and the rates of both in requests a second.

    Blocks of both take turns, and the median of the ratios of neighbours counts: what slows the machine slows both.
    """
    for _ in range(WARM):
        site.get(ours)
        site.get(other)
    pairs = []
    for turn in range(rounds):
        first, second = (ours, other) if turn % 2 == 0 else (other, ours)
        taken = {url: sum(site.timed(url) for _ in range(block)) for url in (first, second)}
        pairs.append((block * 1000 / taken[ours], block * 1000 / taken[other]))
    return (
        statistics.median(mine / theirs for mine, theirs in pairs),
        statistics.median(mine for mine, _ in pairs),
        statistics.median(theirs for _, theirs in pairs),
    )


def quantile(values: list[float], share: float) -> float:
    """Return the nearest-rank quantile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(len(ordered) * share * 1000) // 1000) - 1))]
