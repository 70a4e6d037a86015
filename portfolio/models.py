"""The account and its ledgers, and the paper broker's own book.

Orders name the strategy and the run they come from by plain ids: those apps stand above this one.
"""

from decimal import Decimal
from typing import Any, ClassVar, NoReturn, Self
from uuid import UUID

from django.db import models
from django.db.models import Q

from portfolio.choices import (
    OPEN,
    BrokerKind,
    CashKind,
    OrderOrigin,
    OrderSide,
    OrderStatus,
    OrderType,
    TimeInForce,
    TradingMode,
)
from portfolio.errors import AccountUnknown, OrderUnknown
from portfolio.goal_models import Goal, GoalWatch, Rebalance, RebalanceLeg
from portfolio.ledger import Holding
from portfolio.round_models import BrokerRound
from safety.errors import LedgerReadOnly
from tradingsite.common.clock import utcnow
from tradingsite.common.decimals import ExactField, MoneyField, PriceField, QuantityField
from tradingsite.common.models import Entity

ZERO = Decimal(0)


class AccountQuerySet(models.QuerySet["Account"]):
    def locked(self, account_id: UUID) -> "Account":
        """Lock the account's row until the transaction ends. It is the first lock of every change of its ledgers.

        Raises:
            AccountUnknown: when there is no such account.
        """
        account = self.select_for_update().filter(pk=account_id).first()
        if account is None:
            raise AccountUnknown
        return account


class Account(Entity):
    """Cash, and the rates at which it trades. `cash` is what the fills made of `starting_cash`."""

    name = models.CharField(max_length=80, unique=True)
    currency = models.CharField(max_length=3, default="USD")
    mode = models.CharField(max_length=8, choices=TradingMode.choices, default=TradingMode.PAPER)
    broker = models.CharField(max_length=16, choices=BrokerKind.choices, default=BrokerKind.PAPER)
    starting_cash = MoneyField()
    cash = MoneyField()
    fee_rate = ExactField(default=Decimal("0.001"), help_text="Fraction of the filled notional.")
    slippage = ExactField(default=Decimal("0.0005"), help_text="Fraction of the price, against the trader.")
    is_default = models.BooleanField(default=False)
    fill_sequence = models.BigIntegerField(default=0, editable=False)

    objects = AccountQuerySet.as_manager()

    class Meta:
        db_table = "account"
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="account_one_default"),
            # The settings name one account at the broker: two here would each take its shares and cash for their own.
            models.UniqueConstraint(
                fields=["broker"],
                condition=Q(broker=BrokerKind.ALPACA),
                name="account_one_at_alpaca",
                violation_error_code="BROKER_TAKEN",
                violation_error_message="Another account trades there already, by the same keys: the desk would hold "
                "each share twice. Keep this one on paper, or set the other to paper first.",
            ),
            models.CheckConstraint(condition=Q(starting_cash__gt=0), name="account_starting_cash_positive"),
            models.CheckConstraint(condition=Q(fee_rate__gte=0, fee_rate__lt=1), name="account_fee_rate_fraction"),
            models.CheckConstraint(condition=Q(slippage__gte=0, slippage__lt=1), name="account_slippage_fraction"),
        ]

    def __str__(self) -> str:
        return self.name


class OrderQuerySet(models.QuerySet["Order"]):
    def open(self) -> Self:
        return self.filter(status__in=OPEN)

    def locked(self, order_id: UUID) -> "Order":
        """Lock the order's row until the transaction ends; lock its account first.

        Raises:
            OrderUnknown: when there is no such order.
        """
        order = self.select_for_update(of=("self",)).select_related("instrument").filter(pk=order_id).first()
        if order is None:
            raise OrderUnknown
        return order


class Order(Entity):
    """An intent, committed before it is sent, and what became of it."""

    # The desk's own have 100 characters at most; those that somebody made at the broker may have more.
    client_order_id = models.CharField(max_length=255, unique=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="orders")
    instrument = models.ForeignKey("market.Instrument", on_delete=models.PROTECT, related_name="+")
    strategy_id = models.UUIDField(null=True, blank=True, db_index=True)
    execution_id = models.UUIDField(null=True, blank=True, db_index=True)
    created_by_id = models.IntegerField(null=True, blank=True, editable=False, db_index=True)
    mode = models.CharField(max_length=8, choices=TradingMode.choices)
    side = models.CharField(max_length=4, choices=OrderSide.choices)
    type = models.CharField(max_length=8, choices=OrderType.choices)
    quantity = QuantityField()
    limit_price = PriceField(null=True, blank=True)
    stop_price = PriceField(null=True, blank=True)
    time_in_force = models.CharField(max_length=8, choices=TimeInForce.choices, default=TimeInForce.GTC)
    origin = models.CharField(max_length=8, choices=OrderOrigin.choices, default=OrderOrigin.DESK, editable=False)
    reference_price = PriceField(null=True, blank=True)
    source = models.CharField(max_length=40)
    timeframe = models.CharField(max_length=8)
    adjustment = models.CharField(max_length=20)
    submitted_market_time = models.DateTimeField(null=True, blank=True)
    decision_id = models.UUIDField(null=True, blank=True)
    status = models.CharField(max_length=20, choices=OrderStatus.choices)
    code = models.CharField(max_length=60, blank=True, default="")
    detail = models.CharField(max_length=500, blank=True, default="")
    venue_order_id = models.CharField(max_length=100, blank=True, default="")
    filled_quantity = QuantityField(default=ZERO)
    average_price = PriceField(null=True, blank=True)
    fees = MoneyField(default=ZERO)
    sent_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_tried_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = OrderQuerySet.as_manager()

    class Meta:
        db_table = "orders"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status=OrderStatus.DENIED) | Q(quantity__gt=0), name="order_quantity_positive"
            ),
            models.CheckConstraint(condition=Q(filled_quantity__gte=0), name="order_filled_not_negative"),
            models.CheckConstraint(
                condition=~Q(type=OrderType.LIMIT) | Q(limit_price__isnull=False), name="order_limit_has_price"
            ),
            models.CheckConstraint(
                condition=~Q(type=OrderType.STOP) | Q(stop_price__isnull=False), name="order_stop_has_price"
            ),
        ]
        indexes: ClassVar = [
            # What is open is looked for every two seconds and before every order; there is little of it.
            models.Index(fields=["account", "instrument"], condition=Q(status__in=sorted(OPEN)), name="order_open"),
            models.Index(fields=["account", "instrument", "-created_at"], name="order_recent"),
            models.Index(fields=["-created_at", "-id"], name="order_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity.normalize():f} ({self.client_order_id})"

    @property
    def is_open(self) -> bool:
        return OrderStatus(self.status) in OPEN

    @property
    def remaining(self) -> Decimal:
        rest: Decimal = self.quantity - self.filled_quantity
        return max(rest, ZERO)


class FillQuerySet(models.QuerySet["Fill"]):
    """Rows that are only ever added."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise LedgerReadOnly("Fills are never changed.")

    def delete(self) -> NoReturn:
        raise LedgerReadOnly("Fills are never removed.")


class Fill(models.Model):
    """One fill of an order. Written once, never changed, never removed: positions and cash are rebuilt from the fills."""

    id = models.BigAutoField(primary_key=True)
    venue_fill_id = models.CharField(max_length=120, unique=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="fills")
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="fills")
    instrument = models.ForeignKey("market.Instrument", on_delete=models.PROTECT, related_name="+")
    sequence = models.BigIntegerField()
    side = models.CharField(max_length=4, choices=OrderSide.choices)
    quantity = QuantityField()
    price = PriceField()
    fee = MoneyField()
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField(default=utcnow)

    objects = FillQuerySet.as_manager()

    class Meta:
        db_table = "fill"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            # The order in which the ledger took them: realised profit depends on it.
            models.UniqueConstraint(fields=["account", "sequence"], name="fill_account_sequence"),
            models.CheckConstraint(condition=Q(quantity__gt=0, price__gt=0), name="fill_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity.normalize():f} at {self.price.normalize():f}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise LedgerReadOnly(f"Fill {self.venue_fill_id} is never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise LedgerReadOnly(f"Fill {self.venue_fill_id} is never removed.")


class Position(Entity):
    """What an account holds of an instrument, and the series by which it is marked."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="positions")
    instrument = models.ForeignKey("market.Instrument", on_delete=models.PROTECT, related_name="+")
    quantity = QuantityField(default=ZERO)
    cost = MoneyField(default=ZERO)
    average_price = PriceField(default=ZERO)
    realized_pnl = MoneyField(default=ZERO)
    fees = MoneyField(default=ZERO)
    source = models.CharField(max_length=40)
    timeframe = models.CharField(max_length=8)
    adjustment = models.CharField(max_length=20)

    class Meta:
        db_table = "position"
        ordering: ClassVar = ["instrument__symbol"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "instrument"], name="position_account_instrument")
        ]

    def __str__(self) -> str:
        return f"{self.quantity.normalize():f} at {self.average_price.normalize():f}"

    @property
    def holding(self) -> Holding:
        return Holding(self.quantity, self.cost, self.realized_pnl, self.fees)

    @holding.setter
    def holding(self, holding: Holding) -> None:
        self.quantity, self.cost = holding.quantity, holding.cost
        self.realized_pnl, self.fees = holding.realized_pnl, holding.fees
        self.average_price = holding.average_price


class CashMovement(models.Model):
    """Cash that came or went at the broker without a fill, as a reconciliation took it over. Written once.

    An account's cash is its starting cash, what the fills made of it, and these. Fees, dividends and interest are won or
    lost; what was moved is neither.
    """

    id = models.UUIDField(primary_key=True, editable=False, help_text="Follows from what it stands for.")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="cash_movements")
    amount = MoneyField(help_text="Above zero for what came in.")
    kind = models.CharField(max_length=10, choices=CashKind.choices, default=CashKind.MOVED)
    booked_on = models.DateField(null=True, blank=True, help_text="By the broker, where it tells.")
    detail = models.CharField(max_length=200)
    recorded_at = models.DateTimeField(default=utcnow)

    class Meta:
        db_table = "cash_movement"
        ordering: ClassVar = ["-recorded_at"]

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} on {self.recorded_at:%Y-%m-%d}"


class RoundTrip(models.Model):
    """A position of an instrument from flat to flat: opened by one order, closed by whatever brought it back.

    It is the trade of the run whose order opened it, whoever closes it: another run, a person, or a halt of the desk.
    A fill that turns a position round closes one trip, to which its whole fee counts, and opens the next.
    """

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="round_trips")
    instrument = models.ForeignKey("market.Instrument", on_delete=models.PROTECT, related_name="+")
    opening_order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="+")
    execution_id = models.UUIDField(null=True, blank=True, help_text="The run whose order opened it.")
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    realized_before = MoneyField(help_text="The position's realised profit when it was opened.")
    profit = MoneyField(null=True, blank=True, help_text="What it brought after all fees; empty while it is open.")
    # Whoever keeps figures of trades takes the closed ones that are not counted, and says when they are.
    counted = models.BooleanField(default=False, editable=False)

    class Meta:
        db_table = "round_trip"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account", "instrument"], condition=Q(closed_at__isnull=True), name="round_trip_one_open"
            ),
            models.CheckConstraint(
                condition=Q(closed_at__isnull=True, profit__isnull=True)
                | Q(closed_at__isnull=False, profit__isnull=False),
                name="round_trip_closed_has_profit",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["execution_id"], condition=Q(closed_at__isnull=False), name="round_trip_of_run"),
            models.Index(
                fields=["id"],
                condition=Q(closed_at__isnull=False, counted=False, execution_id__isnull=False),
                name="round_trip_uncounted",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.opened_at:%Y-%m-%d}" + (
            f" brought {self.profit.normalize():f}" if self.profit is not None else ""
        )


class EquitySnapshot(models.Model):
    """What an account was worth at a moment of wall time."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="snapshots")
    at = models.DateTimeField(default=utcnow)
    cash = MoneyField()
    positions_value = MoneyField()
    equity = MoneyField()

    class Meta:
        db_table = "equity_snapshot"
        ordering: ClassVar = ["-at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "at"], name="equity_snapshot_account_at"),
        ]

    def __str__(self) -> str:
        return f"{self.equity.normalize():f} at {self.at:%Y-%m-%d %H:%M:%S}"


class PaperOrder(Entity):
    """An order in the paper broker's own book, which the desk reads only through the broker."""

    client_order_id = models.CharField(max_length=100, unique=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    symbol = models.CharField(max_length=20)
    side = models.CharField(max_length=4, choices=OrderSide.choices)
    type = models.CharField(max_length=8, choices=OrderType.choices)
    quantity = QuantityField()
    limit_price = PriceField(null=True, blank=True)
    stop_price = PriceField(null=True, blank=True)
    time_in_force = models.CharField(max_length=8, choices=TimeInForce.choices, default=TimeInForce.GTC)
    expires_at = models.DateTimeField(null=True, blank=True)
    fee_rate = ExactField()
    slippage = ExactField()
    source = models.CharField(max_length=40)
    timeframe = models.CharField(max_length=8)
    adjustment = models.CharField(max_length=20)
    market_time = models.DateTimeField()
    bars_seen_until = models.DateTimeField()
    quotes_seen_until = models.DateTimeField()
    status = models.CharField(max_length=20, choices=OrderStatus.choices, default=OrderStatus.ACCEPTED)

    class Meta:
        db_table = "paper_order"
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return self.client_order_id


class PaperFill(models.Model):
    """A fill in the paper broker's own book."""

    id = models.BigAutoField(primary_key=True)
    venue_fill_id = models.CharField(max_length=120, unique=True)
    order = models.ForeignKey(PaperOrder, on_delete=models.PROTECT, related_name="fills")
    quantity = QuantityField()
    price = PriceField()
    fee = MoneyField()
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField(default=utcnow)

    class Meta:
        db_table = "paper_fill"
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return self.venue_fill_id


__all__ = [
    "Account",
    "BrokerRound",
    "EquitySnapshot",
    "Fill",
    "Goal",
    "GoalWatch",
    "Order",
    "PaperFill",
    "PaperOrder",
    "Position",
    "Rebalance",
    "RebalanceLeg",
    "RoundTrip",
]
