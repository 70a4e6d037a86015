"""Alpaca's trading API in a process of the tests, after its documentation: orders, account, positions, activities.

It keeps a book in memory, refuses a client order id that it has seen, and fails where it is told to. As a program
(`python -m tests.support.alpaca`) it prints its port and answers `/book` with what it holds.
"""

import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

KEY, SECRET = "key", "secret"
OPEN = ("new", "accepted", "partially_filled", "pending_cancel")
ZERO = Decimal(0)
Answer = tuple[int, Any]


@dataclass
class Book:
    """What the broker holds.

    Attributes:
        prices: at which a market order fills at once; a symbol without one rests.
        parts: into how many fills an order is cut.
        faults: by kind of request (`submit`, `order`, `cancel`, `fills`, ...), what goes wrong with the next ones.
        late_fills: activities stay hidden while this is set, as they may come after the order's own figures.
        twice: every activity is listed twice.
        attempts: how often each client order id was handed in.
    """

    cash: Decimal = Decimal(100_000)
    prices: dict[str, Decimal] = field(default_factory=dict)
    parts: int = 1
    faults: dict[str, list[str]] = field(default_factory=dict)
    late_fills: bool = False
    twice: bool = False
    page: int = 100
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    fills: list[dict[str, Any]] = field(default_factory=list)
    booked: list[dict[str, Any]] = field(default_factory=list)
    positions: dict[str, Decimal] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    calls: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    # ------------------------------------------------------------------------------------------------- what happens

    def fail(self, kind: str, *faults: str) -> None:
        self.faults.setdefault(kind, []).extend(faults)

    def fill(self, client_order_id: str, quantity: str | Decimal, price: str | Decimal) -> None:
        """Fill a part of an order that rests, or a share too many of one that does not."""
        with self.lock:
            row = self._by_client_id(client_order_id)
            assert row is not None
            quantity, price = Decimal(quantity), Decimal(price)
            done = Decimal(row["filled_qty"]) + quantity
            row["filled_qty"] = f"{done:f}"
            row["filled_avg_price"] = f"{price:f}"
            if row["status"] in OPEN:
                row["status"] = "filled" if done >= Decimal(row["qty"]) else "partially_filled"
            now = _now()
            self.fills.append(
                {
                    "activity_type": "FILL",
                    "id": f"{datetime.now(UTC):%Y%m%d%H%M%S%f}::{uuid4()}",
                    "order_id": row["id"],
                    "symbol": row["symbol"],
                    "side": row["side"],
                    "type": "fill" if row["status"] == "filled" else "partial_fill",
                    "qty": f"{quantity:f}",
                    "price": f"{price:f}",
                    "cum_qty": f"{done:f}",
                    "leaves_qty": f"{max(Decimal(row['qty']) - done, ZERO):f}",
                    "transaction_time": now,
                }
            )
            sign = 1 if row["side"] == "buy" else -1
            self.positions[row["symbol"]] = self.positions.get(row["symbol"], ZERO) + sign * quantity
            self.cash -= sign * quantity * price

    def book_cash(self, activity_type: str, amount: str, day: date, **said: str) -> str:
        """Let cash come or go without a fill, as a non-trade activity says; return its id."""
        with self.lock:
            row = {
                "activity_type": activity_type,
                "id": f"{day:%Y%m%d}000000000::{uuid4()}",
                "date": f"{day}",
                "net_amount": amount,
                "description": "",
                "status": "executed",
                **said,
            }
            self.booked.append(row)
            self.cash += Decimal(amount)
            return row["id"]

    def close(self, client_order_id: str, status: str = "canceled") -> None:
        with self.lock:
            row = self._by_client_id(client_order_id)
            assert row is not None
            row["status"] = status

    def take(self, body: dict[str, Any]) -> dict[str, Any]:
        """Take an order into the book, whoever it comes from."""
        with self.lock:
            now = _now()
            row = {
                "id": str(uuid4()),
                "client_order_id": body["client_order_id"],
                "created_at": now,
                "updated_at": now,
                "submitted_at": now,
                "asset_class": "us_equity",
                "order_class": "",
                "symbol": body["symbol"],
                "notional": body.get("notional"),
                "qty": body["qty"],
                "filled_qty": "0",
                "filled_avg_price": None,
                "type": body["type"],
                "order_type": body["type"],
                "side": body["side"],
                "time_in_force": body["time_in_force"],
                "limit_price": body.get("limit_price"),
                "stop_price": body.get("stop_price"),
                "status": "accepted",
                "extended_hours": False,
            }
            self.orders[row["id"]] = row
            price = self.prices.get(row["symbol"])
            if price is not None and row["type"] == "market":
                whole = Decimal(row["qty"])
                for _ in range(self.parts - 1):
                    self.fill(row["client_order_id"], (whole / self.parts).quantize(Decimal("1e-9")), price)
                self.fill(row["client_order_id"], whole - Decimal(row["filled_qty"]), price)
            return row

    def _by_client_id(self, client_order_id: str) -> dict[str, Any] | None:
        return next((row for row in self.orders.values() if row["client_order_id"] == client_order_id), None)

    # ------------------------------------------------------------------------------------------------------ answers

    def submit(self, body: dict[str, Any]) -> Answer:
        self.attempts[str(body.get("client_order_id"))] += 1
        self.bodies.append(body)
        if self._by_client_id(body["client_order_id"]) is not None:
            return 422, {"code": 40010001, "message": "client_order_id must be unique"}
        if not all(isinstance(body.get(name), str) for name in ("qty", "symbol", "side", "type", "time_in_force")):
            return 422, {"code": 40010001, "message": "input parameters are missing or not text"}
        quantity = Decimal(body["qty"])
        if quantity % 1 and body["time_in_force"] != "day":
            return 422, {"code": 42210000, "message": "fractional orders must be DAY orders"}
        held = self.positions.get(body["symbol"], ZERO)
        if quantity % 1 and body["side"] == "sell" and quantity > held:
            return 403, {"code": 40310000, "message": "fractional orders cannot be sold short"}
        price = Decimal(body.get("limit_price") or self.prices.get(body["symbol"], ZERO))
        if body["side"] == "buy" and quantity * price > self.cash:
            return 403, {"code": 40310000, "message": "insufficient buying power"}
        return 200, self.take(body)

    def cancel(self, order_id: str) -> Answer:
        row = self.orders.get(order_id)
        if row is None:
            return 404, {"code": 40410000, "message": f"order not found for {order_id}"}
        if row["status"] not in OPEN:
            return 422, {"code": 42210000, "message": f'order is already in "{row["status"]}" state'}
        row["status"] = "canceled"
        return 204, None

    def order(self, client_order_id: str) -> Answer:
        row = self._by_client_id(client_order_id)
        if row is None:
            return 404, {"code": 40410000, "message": f"order not found for {client_order_id}"}
        return 200, row

    def open_orders(self, query: dict[str, str]) -> Answer:
        rows = sorted((row for row in self.orders.values() if row["status"] in OPEN), key=lambda r: r["submitted_at"])
        return 200, [row for row in rows if row["submitted_at"] > query.get("after", "")][: int(query["limit"])]

    def activities(self, query: dict[str, str]) -> Answer:
        rows = [] if self.late_fills else [f for f in self.fills if f["order_id"] == query["order_id"]]
        if self.twice:
            rows = [row for row in rows for _ in range(2)]
        ids = [row["id"] for row in rows]
        first = len(ids) - ids[::-1].index(query["page_token"]) if "page_token" in query else 0
        return 200, rows[first : first + min(int(query["page_size"]), self.page)]

    def non_trade_activities(self, query: dict[str, str]) -> Answer:
        if query.get("category") != "non_trade_activity":
            return 422, {"code": 40010001, "message": "this server tells non-trade activities only"}
        rows = sorted(self.booked, key=lambda row: row["id"], reverse=query.get("direction") == "desc")
        rows = [row for row in rows if row["date"] > query.get("after", "")[:10]]
        ids = [row["id"] for row in rows]
        first = ids.index(query["page_token"]) + 1 if "page_token" in query else 0
        return 200, rows[first : first + min(int(query.get("page_size", 100)), self.page)]

    def held(self) -> Answer:
        rows = [
            {
                "symbol": symbol,
                "qty": f"{quantity:f}",
                "side": "short" if quantity < 0 else "long",
                "avg_entry_price": f"{self.prices.get(symbol, Decimal(100)):f}",
            }
            for symbol, quantity in self.positions.items()
            if quantity
        ]
        return 200, rows

    def account(self) -> Answer:
        return 200, {"id": str(uuid4()), "status": "ACTIVE", "cash": f"{self.cash:f}", "currency": "USD"}

    def summary(self) -> dict[str, Any]:
        """Return all of it, JSON-able: what the proof holds the desk's books against."""
        with self.lock:
            return {
                "cash": f"{self.cash:f}",
                "positions": {symbol: f"{quantity:f}" for symbol, quantity in self.positions.items()},
                "orders": Counter(row["client_order_id"] for row in self.orders.values()),
                "attempts": self.attempts,
                "fills": len(self.fills),
            }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Loopback"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        book = self.server.book
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or "{}")
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/book":
            return self._answer(200, book.summary())
        if (self.headers.get("APCA-API-KEY-ID"), self.headers.get("APCA-API-SECRET-KEY")) != (KEY, SECRET):
            return self._answer(401, {"code": 40110000, "message": "request is not authorized"})
        kind = self._kind(url.path)
        with book.lock:
            book.calls.append(kind)
            told = book.faults.get(kind) or [""]
            fault = told.pop(0)
        if fault.endswith("before"):
            return self._broken(fault.removesuffix(" before"))
        with book.lock:
            status, answer = self._found(kind, url.path, query, body)
        if fault:
            return self._broken(fault.removesuffix(" after"))
        self._answer(status, answer)

    def _kind(self, path: str) -> str:
        if path == "/v2/orders":
            return "submit" if self.command == "POST" else "open_orders"
        kinds = {
            "/v2/orders:by_client_order_id": "order",
            "/v2/account": "account",
            "/v2/account/activities": "activities",
            "/v2/positions": "positions",
        }
        return kinds.get(path) or ("fills" if path.startswith("/v2/account/activities/") else "cancel")

    def _found(self, kind: str, path: str, query: dict[str, str], body: dict[str, Any]) -> Answer:
        book = self.server.book
        match kind:
            case "submit":
                return book.submit(body)
            case "order":
                return book.order(query["client_order_id"])
            case "open_orders":
                return book.open_orders(query)
            case "fills":
                return book.activities(query)
            case "activities":
                return book.non_trade_activities(query)
            case "positions":
                return book.held()
            case "account":
                return book.account()
        return book.cancel(path.rsplit("/", 1)[-1])

    def _broken(self, fault: str) -> None:
        """Fail as told: `hang`, `close`, `garbage`, a status, or `429 <seconds>`."""
        match fault.split():
            case ["hang"]:
                time.sleep(self.server.hang_s)
                self.close_connection = True
            case ["close"]:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            case ["garbage"]:
                self._answer(200, None, raw=b"<html>not what you asked for</html>")
            case ["429", *wait]:
                headers = {"Retry-After": wait[0]} if wait else {}
                self._answer(429, {"code": 42910000, "message": "rate limit exceeded"}, headers=headers)
            case [status]:
                self._answer(int(status), None, raw=b"<html>bad gateway</html>")

    def _answer(
        self, status: int, answer: Any, *, raw: bytes | None = None, headers: dict[str, str] | None = None
    ) -> None:
        content = raw if raw is not None else b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


class Loopback(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, book: Book, hang_s: float = 3.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.book, self.hang_s = book, hang_s

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed or gave up is no news."""


@contextmanager
def loopback(book: Book) -> Iterator[Loopback]:
    """Serve `book` on a thread."""
    with Loopback(book) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    shared = Book(
        cash=Decimal(told["cash"]),
        prices={symbol: Decimal(price) for symbol, price in told["prices"].items()},
        parts=told["parts"],
        faults=told["faults"],
        twice=told.get("twice", False),
    )
    with Loopback(shared, hang_s=told["hang_s"]) as serving:
        sys.stdout.write(f"{serving.url}\n")
        sys.stdout.flush()
        serving.serve_forever(poll_interval=0.05)
