"""Alpaca's own client, made fit for orders: every call has a time-out, is made once, and says what is certain.

The vendor's client waits without end, sends again by itself, and reads numbers as floats; here one method of it is
replaced, through which all its calls go.
"""

import email.utils
import json
import time
import warnings
from datetime import UTC
from decimal import Decimal
from typing import Any

import requests

from portfolio.brokers.protocol import BrokerThrottled, BrokerUncertain
from portfolio.urgency import is_urgent
from tradingsite.common.clock import utcnow

with warnings.catch_warnings():
    # The vendor's streams, which nothing here uses, import what their library will drop.
    warnings.simplefilter("ignore", DeprecationWarning)
    from alpaca.trading.client import TradingClient

_REQUEST_TIMEOUT, _TOO_MANY, _CLIENT, _SERVER = 408, 429, 400, 500
_LONGEST_QUIET_S = 300.0
URGENT_QUIET_S = 3.0
"""How long at most a cancel, or a closing, leaves the broker alone that asked for patience."""

# By key and urgency: until when nothing is asked, by the monotonic clock. A limit counts for all threads of a key.
_quiet_until: dict[tuple[str, bool], float] = {}


class AlpacaRefused(Exception):
    """Alpaca understood the request and did not do it; never leaves the adapter.

    Attributes:
        status: of HTTP, 400 to 499.
        code: Alpaca's own, such as 40310000.
    """

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{message} (Alpaca {code})")
        self.status, self.code, self.message = status, code, message


class AlpacaHttp(TradingClient):
    """The vendor's client with answers as plain data, numbers with a point as Decimal."""

    def __init__(self, *, base_url: str, key_id: str, secret_key: str, timeout_s: float) -> None:
        super().__init__(api_key=key_id, secret_key=secret_key, raw_data=True, url_override=base_url.rstrip("/"))
        self._timeout_s, self._key_id = timeout_s, key_id

    def _one_request(self, method: str, url: str, opts: dict[str, Any], retry: int) -> Any:
        """Make one request, once.

        Raises:
            BrokerThrottled: for 429, and without a call until the time that it named; what is urgent waits a few
                seconds at most.
            BrokerUncertain: for a time-out, a disconnect, a 5xx, a redirect, or an answer that cannot be read.
            AlpacaRefused: for a refusal in Alpaca's own words.
        """
        urgent = is_urgent()
        waiting = _quiet_until.get((self._key_id, urgent), 0.0) - time.monotonic()
        if waiting > 0:
            raise BrokerThrottled(waiting)
        what = f"{method} {url.rsplit('/v2', 1)[-1]}"
        try:
            response = self._session.request(method, url, timeout=self._timeout_s, **opts)
        except requests.RequestException as error:
            raise BrokerUncertain(f"{what}: {type(error).__name__}") from error
        status = response.status_code
        if status == _TOO_MANY:
            told = _wait_s(response.headers)
            waits = {False: told, True: min(told, URGENT_QUIET_S)}
            for each, wait in waits.items():
                _quiet_until[self._key_id, each] = time.monotonic() + wait
            raise BrokerThrottled(waits[urgent])
        if status >= _SERVER or status == _REQUEST_TIMEOUT or 300 <= status < _CLIENT:
            raise BrokerUncertain(f"{what}: HTTP {status}")
        if not response.content and status < _CLIENT:
            return None
        try:
            body = json.loads(response.content, parse_float=Decimal)
        except ValueError as error:
            raise BrokerUncertain(f"{what}: HTTP {status} with an answer that is no JSON") from error
        if status < _CLIENT:
            return body
        if not isinstance(body, dict) or not isinstance(body.get("code"), int):
            # Not Alpaca's way to refuse: a proxy, or a wrong address.
            raise BrokerUncertain(f"{what}: HTTP {status} without Alpaca's code")
        raise AlpacaRefused(status, body["code"], str(body.get("message", "")))


def _wait_s(headers: Any) -> float:
    """Return for how long to be quiet: `Retry-After` in seconds or as a date, else the reset of the rate limit."""
    told = headers.get("Retry-After", "").strip()
    try:
        if told:
            seconds = float(told) if told.replace(".", "", 1).isdigit() else _seconds_to(told)
        else:
            seconds = float(headers.get("X-RateLimit-Reset", "")) - utcnow().timestamp()
    except (TypeError, ValueError):
        seconds = 1.0
    return min(max(seconds, 0.0), _LONGEST_QUIET_S)


def _seconds_to(date: str) -> float:
    moment = email.utils.parsedate_to_datetime(date)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - utcnow().timestamp()
