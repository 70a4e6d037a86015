"""Alpaca, for those who install the extra `alpaca`: Alpaca's words into the desk's, and back.

Only a refusal in Alpaca's own words is a rejection. Whatever else goes wrong is uncertain, and is asked for again.
Numbers go out as text and come in as Decimal. Fills are Alpaca's trade activities, each with an id of its own; an
order may say that it is filled before they are there.
"""

import contextlib
import importlib
import threading
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from portfolio.brokers.protocol import (
    BrokerAccount,
    BrokerCash,
    BrokerFill,
    BrokerNotConfigured,
    BrokerOrder,
    BrokerPosition,
    BrokerThrottled,
    BrokerUncertain,
    DuplicateClientOrderId,
    OrderRequest,
)
from portfolio.choices import OPEN, CashKind, OrderSide, OrderStatus, TimeInForce, TradingMode
from portfolio.errors import (
    BROKER_FRACTION_NEEDS_DAY,
    BROKER_PRICE_INCREMENT,
    BROKER_QUANTITY_PRECISION,
    BROKER_REJECTED,
    REPLACED_AT_BROKER,
)
from portfolio.models import Account
from portfolio.urgency import urgently
from tradingsite.common.clock import parse_rfc3339
from tradingsite.common.decimals import PLACES, decimal_string

LIVE_HOST = "api.alpaca.markets"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_ZERO, _ONE = Decimal(0), Decimal(1)
_NOT_FOUND = 404
_INVALID = 40010001
"""One code for many invalid requests, a client order id that was used before among them."""
_ORDERS_PER_PAGE, _FILLS_PER_PAGE, _ACTIVITIES_PER_PAGE, _PAGES = 500, 100, 100, 100
_QUANTITY_PLACES = 9

S = OrderStatus
_STATUS: Mapping[str, OrderStatus] = {
    **dict.fromkeys(
        (
            "new", "accepted", "pending_new", "accepted_for_bidding", "held", "stopped", "suspended", "calculated",
            "done_for_day", "pending_cancel", "pending_replace", "pending_review",
        ),
        S.ACCEPTED,
    ),
    "partially_filled": S.PARTIALLY_FILLED,
    "filled": S.FILLED,
    "canceled": S.CANCELLED,
    "replaced": S.CANCELLED,
    "expired": S.EXPIRED,
    "rejected": S.REJECTED,
}  # fmt: skip

_CASH: Mapping[str, CashKind] = {
    **dict.fromkeys(("FEE", "CFEE", "PTC", "PTR", "DIVFEE"), CashKind.FEE),
    **dict.fromkeys(("DIV", "DIVCGL", "DIVCGS", "DIVFT", "DIVNRA", "DIVROC", "DIVTW", "DIVTXEX"), CashKind.DIVIDEND),
    **dict.fromkeys(("INT", "INTNRA", "INTTW"), CashKind.INTEREST),
}


class AlpacaBroker:
    """One account at Alpaca. It refuses a client order id that it has seen before."""

    refuses_duplicates = True
    lists_filled = True

    def __init__(self, http: Any, refused: type[Exception]) -> None:
        self._http, self._refused = http, refused

    # ------------------------------------------------------------------------------------------------------- orders

    def refusal(self, request: OrderRequest) -> tuple[str, str] | None:
        """Return what Alpaca is known not to take, before anything is sent: fractions, digits, price increments."""
        quantity = decimal_string(request.quantity)
        if _places(request.quantity) > _QUANTITY_PLACES:
            return BROKER_QUANTITY_PRECISION, f"Alpaca takes {_QUANTITY_PLACES} digits after the point, not {quantity}."
        if request.quantity % 1 and request.time_in_force is not TimeInForce.DAY:
            return BROKER_FRACTION_NEEDS_DAY, f"Alpaca takes a fraction such as {quantity} for the day only."
        for price in (request.limit_price, request.stop_price):
            if price is not None and _places(price) > (2 if price >= _ONE else 4):
                said = f"Alpaca takes prices in cents, below 1 in hundredths of a cent, not {decimal_string(price)}."
                return BROKER_PRICE_INCREMENT, said
        return None

    def submit(self, request: OrderRequest) -> BrokerOrder:
        """Hand an order in.

        Raises:
            DuplicateClientOrderId: when Alpaca has one of this id.
            BrokerThrottled: when Alpaca did not look at it for there were too many requests.
            BrokerUncertain: when nobody can say whether it took it.
        """
        body = {
            "symbol": request.symbol,
            "qty": decimal_string(request.quantity),
            "side": request.side.value,
            "type": request.order_type.value,
            "time_in_force": request.time_in_force.value,
            "client_order_id": request.client_order_id,
        }
        for name, price in (("limit_price", request.limit_price), ("stop_price", request.stop_price)):
            if price is not None:
                body[name] = decimal_string(price)
        try:
            row = self._http.post("/orders", body)
        except self._refused as error:
            if self._is_duplicate(error, request.client_order_id):
                raise DuplicateClientOrderId(f"Alpaca has {request.client_order_id} already.") from None
            return BrokerOrder(
                client_order_id=request.client_order_id,
                venue_order_id="",
                status=S.REJECTED,
                symbol=request.symbol,
                side=request.side,
                quantity=request.quantity,
                code=BROKER_REJECTED,
                detail=str(error),
            )
        return self._seen(row, request.client_order_id)

    def order(self, client_order_id: str) -> BrokerOrder | None:
        """Return the order with its fills so far, or None when Alpaca says that it does not have it."""
        row = self._row(client_order_id)
        return None if row is None else self._seen(row, client_order_id)

    def cancel(self, client_order_id: str) -> BrokerOrder | None:
        """Ask for a cancel and return how the order stands then; None when Alpaca does not have it.

        Too many requests hold it up for a few seconds at most.
        """
        with urgently():
            row = self._row(client_order_id)
            # A word that nobody here understands may be one of an order that can be filled.
            if row is None or _STATUS.get(_text(row, "status"), S.ACCEPTED) not in OPEN:
                return None if row is None else self._seen(row, client_order_id)
            # It may be filled or gone by now: how it stands then says so.
            with contextlib.suppress(self._refused):
                self._http.delete(f"/orders/{_text(row, 'id')}")
            return self.order(client_order_id)

    def open_orders(self) -> list[BrokerOrder]:
        """Return what rests at Alpaca, oldest first, without looking for the fills of each.

        Also what the desk could not have made: a sum of money without a quantity, or legs without one side.
        """
        found: dict[str, BrokerOrder] = {}
        params: dict[str, Any] = {"status": "open", "limit": _ORDERS_PER_PAGE, "direction": "asc", "nested": "false"}
        for _ in range(_PAGES):
            rows = self._listed("/orders", params)
            for row in rows:
                found[_text(row, "id")] = self._view(row, (), listed=True)
            if len(rows) < _ORDERS_PER_PAGE:
                return list(found.values())
            params["after"] = _text(rows[-1], "submitted_at")
        raise BrokerUncertain("Alpaca has more open orders than could be read.")

    # ------------------------------------------------------------------------------------------------------ account

    def positions(self) -> list[BrokerPosition]:
        """Return what is held; a short position has a negative quantity."""
        found = []
        for row in self._listed("/positions", {}):
            quantity = abs(_number(row, "qty"))
            short = _text(row, "side") == "short"
            entry = _number(row, "avg_entry_price")
            found.append(BrokerPosition(_text(row, "symbol"), -quantity if short else quantity, entry))
        return found

    def account(self) -> BrokerAccount:
        """Return the cash."""
        return BrokerAccount(_number(self._read("/account", {}), "cash"))

    def cash_activities(self, since: date) -> list[BrokerCash]:
        """Return the fees, dividends and interest that Alpaca booked on `since` or later, the oldest first.

        Transfers, journals and corporate actions are left out: somebody moved something, and a person is to look.
        """
        found: dict[str, BrokerCash] = {}
        params: dict[str, Any] = {
            "category": "non_trade_activity",
            "after": (since - timedelta(days=1)).isoformat(),
            "direction": "asc",
            "page_size": _ACTIVITIES_PER_PAGE,
        }
        for _ in range(_PAGES):
            rows = self._listed("/account/activities", params)
            for row in rows:
                told = _cash(row)
                if told is not None and told.day >= since:
                    found[told.activity_id] = told
            if len(rows) < _ACTIVITIES_PER_PAGE:
                return sorted(found.values(), key=lambda each: (each.day, each.activity_id))
            params["page_token"] = _text(rows[-1], "id")
        raise BrokerUncertain("Alpaca has more account activities than could be read.")

    # ------------------------------------------------------------------------------------------------------ reading

    def _is_duplicate(self, error: Any, client_order_id: str) -> bool:
        if error.code != _INVALID:
            return False
        if "client_order_id" in error.message:
            return True
        try:
            return self.order(client_order_id) is not None
        except BrokerThrottled:
            # Not looked at was the question, not the order: Alpaca may well have it.
            raise BrokerUncertain(f"Alpaca did not say whether it has {client_order_id} already.") from None

    def _row(self, client_order_id: str) -> Any:
        try:
            return self._http.get_order_by_client_id(client_order_id)
        except self._refused as error:
            if getattr(error, "status", 0) == _NOT_FOUND:
                return None
            raise BrokerUncertain(f"Alpaca did not say how {client_order_id} stands: {error}") from None

    def _seen(self, row: Any, client_order_id: str) -> BrokerOrder:
        if not isinstance(row, Mapping) or _text(row, "client_order_id") != client_order_id:
            raise BrokerUncertain(f"Alpaca answered for {client_order_id} with another order.")
        fills: Sequence[BrokerFill] = ()
        if _number(row, "filled_qty", missing=_ZERO):
            try:
                fills = self._fills(row)
            except BrokerUncertain:
                # How the order stands is known; its fills are asked for again, since it says how much they are.
                fills = ()
        return self._view(row, fills)

    def _fills(self, row: Mapping[str, Any]) -> list[BrokerFill]:
        order_id = _text(row, "id")
        found: list[BrokerFill] = []
        params: dict[str, Any] = {
            "order_id": order_id,
            "after": _text(row, "created_at"),
            "direction": "asc",
            "page_size": _FILLS_PER_PAGE,
        }
        for _ in range(_PAGES):
            rows = self._listed("/account/activities/FILL", params)
            found += [_fill(each) for each in rows if each.get("order_id") == order_id]
            if len(rows) < _FILLS_PER_PAGE:
                return found
            params["page_token"] = _text(rows[-1], "id")
        raise BrokerUncertain(f"Order {order_id} has more fills than could be read.")

    def _view(self, row: Mapping[str, Any], fills: Sequence[BrokerFill], *, listed: bool = False) -> BrokerOrder:
        word, side = _text(row, "status"), row.get("side")
        # What stands in the list of open orders is open, by whatever word.
        status = _STATUS.get(word, S.ACCEPTED if listed else None)
        if status is None:
            raise BrokerUncertain(f"Alpaca says {word!r} of an order, which nobody here understands.")
        replaced = word == "replaced"
        return BrokerOrder(
            client_order_id=_text(row, "client_order_id"),
            venue_order_id=_text(row, "id"),
            status=status,
            symbol=str(row.get("symbol") or ""),
            side=OrderSide(side) if side in OrderSide.values else None,
            quantity=_number(row, "qty", missing=_ZERO),
            code=REPLACED_AT_BROKER if replaced else BROKER_REJECTED if status == S.REJECTED else "",
            detail="It was replaced by another order at Alpaca." if replaced else "",
            fills=tuple(fills),
            filled_quantity=_number(row, "filled_qty", missing=_ZERO),
            order_type=str(row.get("type") or row.get("order_type") or ""),
            time_in_force=str(row.get("time_in_force") or ""),
            limit_price=None if row.get("limit_price") is None else _number(row, "limit_price"),
            stop_price=None if row.get("stop_price") is None else _number(row, "stop_price"),
        )

    def _listed(self, path: str, params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        rows = self._read(path, params)
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise BrokerUncertain(f"Alpaca's answer to {path} is no list of objects.")
        return rows

    def _read(self, path: str, params: Mapping[str, Any]) -> Any:
        try:
            return self._http.get(path, dict(params))
        except self._refused as error:
            raise BrokerUncertain(f"Alpaca did not answer {path}: {error}") from None


def _fill(row: Mapping[str, Any]) -> BrokerFill:
    return BrokerFill(
        venue_fill_id=f"alpaca:{_text(row, 'id')}",
        price=_number(row, "price"),
        quantity=_number(row, "qty"),
        fee=_ZERO,  # Alpaca takes no commission; what the exchanges charge comes as an activity of its own
        occurred_at=_moment(row, "transaction_time"),
    )


def _cash(row: Mapping[str, Any]) -> BrokerCash | None:
    """Return what an account activity did to the cash; None for one of another kind, or that was taken back."""
    word = _text(row, "activity_type")
    kind = _CASH.get(word)
    if kind is None or row.get("status") == "canceled":
        return None
    amount = _number(row, "net_amount", missing=_ZERO)
    if not amount:
        return None
    try:
        day = date.fromisoformat(_text(row, "date")[:10])
    except ValueError:
        raise BrokerUncertain("Alpaca's answer has no day for date.") from None
    said = " ".join(str(each) for each in (word, row.get("symbol"), row.get("description")) if each)
    return BrokerCash(_text(row, "id"), kind, amount, day, said)


def _text(row: Any, name: str) -> str:
    found = row.get(name) if isinstance(row, Mapping) else None
    if not isinstance(found, str) or not found:
        raise BrokerUncertain(f"Alpaca's answer has no {name}.")
    return found


def _number(row: Any, name: str, *, missing: Decimal | None = None) -> Decimal:
    found = row.get(name) if isinstance(row, Mapping) else None
    if found is None and missing is not None:
        return missing
    try:
        if isinstance(found, bool) or not isinstance(found, str | int | Decimal):
            raise InvalidOperation
        number = Decimal(found)
        return number.quantize(_ONE.scaleb(-PLACES))
    except InvalidOperation:
        raise BrokerUncertain(f"Alpaca's answer has no number for {name}.") from None


def _moment(row: Mapping[str, Any], name: str) -> datetime:
    try:
        return parse_rfc3339(_text(row, name))
    except ValueError:
        raise BrokerUncertain(f"Alpaca's answer has no time for {name}.") from None


def _places(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else PLACES + 1


# ------------------------------------------------------------------------------------------------------------ wiring

_LONGEST_TIMEOUT_S = 60
"""Well below the time after which the desk takes an order that the broker does not know for one that was never sent."""

_of_thread = threading.local()


def alpaca_broker(account: Account) -> AlpacaBroker:
    """Return the broker at `ALPACA_BASE_URL`, by the keys of the settings; each thread keeps its own connection.

    Raises:
        BrokerNotConfigured: without the extra or the keys, for an address that is not safe, or when a paper account
            would trade with real money.
    """
    try:
        vendor = importlib.import_module("portfolio.brokers.alpaca_http")
    except ModuleNotFoundError:
        raise BrokerNotConfigured(
            "Accounts at Alpaca need the extra 'alpaca': .venv/bin/pip install '.[alpaca]' in the desk's folder.",
            extra={"pip_extra": "alpaca"},
        ) from None
    base_url, key_id, secret = settings.ALPACA_BASE_URL, settings.ALPACA_KEY_ID, settings.ALPACA_SECRET_KEY
    if not key_id or not secret:
        raise BrokerNotConfigured("Set ALPACA_KEY_ID and ALPACA_SECRET_KEY to trade in an account at Alpaca.")
    parts = urlsplit(base_url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise BrokerNotConfigured("ALPACA_BASE_URL must begin with https://: the keys travel with each request.")
    if parts.hostname == LIVE_HOST and account.mode != TradingMode.LIVE:
        raise BrokerNotConfigured(
            f"Account {account.name} is a paper account, and ALPACA_BASE_URL is where orders cost real money. "
            "Set ALPACA_BASE_URL=https://paper-api.alpaca.markets, or make a live account."
        )
    timeout_s = settings.ALPACA_TIMEOUT_S
    if not 0 < timeout_s <= _LONGEST_TIMEOUT_S:
        raise BrokerNotConfigured(f"ALPACA_TIMEOUT_S must be from 1 to {_LONGEST_TIMEOUT_S}, not {timeout_s}.")
    key = (base_url, key_id, secret, timeout_s)
    if getattr(_of_thread, "key", None) != key:
        _of_thread.client = vendor.AlpacaHttp(base_url=base_url, key_id=key_id, secret_key=secret, timeout_s=timeout_s)
        _of_thread.key = key
    return AlpacaBroker(_of_thread.client, vendor.AlpacaRefused)
