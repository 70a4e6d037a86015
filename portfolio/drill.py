"""The kill switch tried on the running desk: orders flow from several processes, and the switch is set under them.

The drill has accounts, an instrument, prices and a strategy of its own, all on paper, and sets the switch of that
strategy alone: the same rows, files, locks and processes as any kill, and nobody else's order is touched. Its orders
rest at the paper broker, so that the sweep has something to cancel. Afterwards everything of it is gone but its lines
in the histories.
"""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import numpy as np
from django.db import transaction
from django.db.models import Max, QuerySet

from market import store
from market.bars import from_ns, to_ns
from market.models import BarSeries, DataSource, Instrument
from portfolio import sweeping
from portfolio.accounts import account_save
from portfolio.choices import BrokerKind, OrderSide, OrderStatus, OrderType, TradingMode
from portfolio.drill_processes import Senders
from portfolio.errors import DrillImpossible
from portfolio.models import Account, EquitySnapshot, Order, PaperFill, PaperOrder, Position
from safety import killswitch
from safety import services as safety
from safety.drills import DRILL_STRATEGY, DRILL_SYMBOL
from safety.errors import ResumeNeedsPerson
from safety.models import KillSweep
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.roles import Role

NAME = "Kill switch drill"
SYMBOL = DRILL_SYMBOL
SOURCE = "kill-drill"
STRATEGY = DRILL_STRATEGY
REASON = "kill switch drill"

PRICE = Decimal(1)
UNITS = Decimal(1000)
PROMISE_S = 1.0
"""No order leaves later than this after the kill was answered."""

FLOW_S = 1.0
"""How long orders flow from every process before the switch is set under them."""

WATCH_S = 1.5
"""How long after the answer the processes go on trying: longer than the promise."""

CONFIRM_S = 30.0
STALE_AFTER = timedelta(minutes=10)


@dataclass(frozen=True)
class DrillReport:
    """What a drill measured; times in seconds.

    Attributes:
        orders: how many reached the broker in all.
        answered_in_s: from the call to its answer, the longest of the kills.
        from_call_p99_s: how long after the call the last order of a process reached the broker, over every process at
            every kill.
        last_order_p99_s, last_order_max_s: how long after the answer the last order of a process reached the broker, 0
            when none did, over every process at every kill.
        denied_in_s: from the answer until the slowest process had an order denied; below zero when that was earlier.
        cancelled: resting orders that the kills cancelled.
        confirmed_in_s: from the kill until two samples had found nothing that rests, the longest; None when that did
            not come within CONFIRM_S.
        passed: the last orders left within PROMISE_S of the call and of the answer (p99), and every sweep was
            confirmed.
    """

    processes: int
    kills: int
    orders: int
    answered_in_s: float
    from_call_p99_s: float
    last_order_p99_s: float
    last_order_max_s: float
    denied_in_s: float
    cancelled: int
    confirmed_in_s: float | None
    passed: bool


@dataclass(frozen=True)
class _Round:
    orders: int
    answered_in_s: float
    from_call: Sequence[float]
    late: Sequence[float]
    denied_in_s: float
    cancelled: int
    confirmed_in_s: float | None


def kill_drill(
    *,
    actor: Actor,
    processes: int,
    kills: int,
    call: Callable[[UUID], None] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> DrillReport:
    """Let orders flow from `processes` processes, kill their strategy `kills` times, and measure.

    Args:
        actor: the operator or admin who resumes after each kill.
        call: what kills the strategy of this id and returns with the answer; the service itself unless told.
        say: is told what goes on, line by line.

    Raises:
        ResumeNeedsPerson: for anybody who could not resume.
        DrillImpossible: when another drill is under way, the desk is halted, or the gate lets nothing flow.
    """
    if actor.kind != "user" or not actor.may(Role.OPERATOR):
        raise ResumeNeedsPerson("The drill resumes after each kill: an operator or an admin runs it, as themselves.")
    halted = killswitch.state(strategy_id=STRATEGY)
    if halted.active:
        raise DrillImpossible(f"Nothing flows on a halted desk. {halted.detail}")
    _require_alone()
    _clear()
    try:
        accounts = _stage(actor, processes)
        with Senders([account.pk for account in accounts], symbol=SYMBOL, strategy_id=STRATEGY) as senders:
            rounds = [_round(actor, senders, call or _kill, say) for _ in range(kills)]
    finally:
        if killswitch.state_of([str(STRATEGY)]).active:
            safety.resume(actor=actor, reason=REASON, scope=STRATEGY)
        _clear()
    report = _report(processes, rounds)
    safety.drill_record(actor=actor, figures=asdict(report))
    return report


def _kill(strategy_id: UUID) -> None:
    safety.kill(actor=Actor.system(REASON), reason=REASON, scope=strategy_id)


def _report(processes: int, rounds: Sequence[_Round]) -> DrillReport:
    late = [each for one in rounds for each in one.late]
    from_call = _p99([each for one in rounds for each in one.from_call])
    confirmed = [one.confirmed_in_s for one in rounds if one.confirmed_in_s is not None]
    all_confirmed = len(confirmed) == len(rounds)
    p99 = _p99(late)
    return DrillReport(
        processes=processes,
        kills=len(rounds),
        orders=sum(one.orders for one in rounds),
        answered_in_s=max(one.answered_in_s for one in rounds),
        from_call_p99_s=from_call,
        last_order_p99_s=p99,
        last_order_max_s=max(late),
        denied_in_s=max(one.denied_in_s for one in rounds),
        cancelled=sum(one.cancelled for one in rounds),
        confirmed_in_s=max(confirmed) if all_confirmed else None,
        passed=max(p99, from_call) <= PROMISE_S and all_confirmed,
    )


def _p99(values: Sequence[float]) -> float:
    """Return the nearest-rank 99th percentile: of a hundred values the largest but one."""
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def _round(actor: Actor, senders: Senders, call: Callable[[UUID], None], say: Callable[[str], None]) -> _Round:
    before = PaperOrder.objects.filter(symbol=SYMBOL, type=OrderType.LIMIT).count()
    senders.go()
    senders.wait_for_flow(FLOW_S)
    began = time.time()
    call(STRATEGY)
    answered = time.time()
    senders.wait_for_denials()
    time.sleep(max(0.0, answered + WATCH_S - time.time()))
    senders.stop()
    confirmed_in_s = _confirmed(began)
    found = PaperOrder.objects.filter(symbol=SYMBOL, type=OrderType.LIMIT)
    last = [_last(found.filter(account_id=sender.account_id)) for sender in senders]
    late = [max(0.0, each - answered) for each in last]
    ordered = found.count() - before
    cancelled = Order.objects.filter(
        strategy_id=STRATEGY,
        status=OrderStatus.CANCELLED,
        closed_at__gte=datetime.fromtimestamp(began, UTC),
    ).count()
    denied_in_s = max(sender.denied_at - answered for sender in senders)
    safety.resume(actor=actor, reason=REASON, scope=STRATEGY)
    say(
        f"kill: answered in {answered - began:.3f} s, {ordered} orders before it, the last one {max(late):.3f} s after "
        f"the answer, {cancelled} cancelled"
    )
    from_call = [max(0.0, each - began) for each in last]
    return _Round(ordered, answered - began, from_call, late, denied_in_s, cancelled, confirmed_in_s)


def _last(sent: QuerySet[PaperOrder]) -> float:
    """Return when the last of these orders reached the broker, in seconds of the epoch; they all flowed before."""
    last: datetime = sent.aggregate(last=Max("created_at"))["last"]
    return last.timestamp()


def _confirmed(began: float) -> float | None:
    """Wait until the sweep is confirmed, by whatever process works on it; a desk without workers is helped along."""
    deadline = time.monotonic() + CONFIRM_S
    while time.monotonic() < deadline:
        sweeping.sweeps_work()
        sweep = KillSweep.objects.filter(scope=str(STRATEGY)).latest("id")
        if sweep.confirmed_at is not None:
            return sweep.confirmed_at.timestamp() - began
        time.sleep(0.1)
    return None


# ------------------------------------------------------------------------------------------------------------ the stage


def _require_alone() -> None:
    young = datetime.now(UTC) - STALE_AFTER
    if Account.objects.filter(name__startswith=NAME, created_at__gt=young).exists():
        raise DrillImpossible("Another drill is under way, or was cut off in the last ten minutes. Try again later.")


def _stage(actor: Actor, processes: int) -> list[Account]:
    """Make an instrument whose price stands still, and an account for each process that holds some of it."""
    instrument = _instrument()
    made = []
    for number in range(1, processes + 1):
        account = Account(
            name=f"{NAME} {number}",
            mode=TradingMode.PAPER,
            broker=BrokerKind.PAPER,
            starting_cash=UNITS * PRICE * 2,
            currency=instrument.currency,
        )
        account_save(actor=actor, account=account)
        _give(account, instrument)
        made.append(account)
    return made


def _give(account: Account, instrument: Instrument) -> None:
    """Let the account hold some of the instrument, by its own books and by the paper broker's alike.

    Without a fill of the desk's: those are for ever, and a drill is not. Orders that sell what is held reduce risk, so
    that the day's limits, which are meant for trading, do not end the flow.
    """
    series = {"source": SOURCE, "timeframe": "1d", "adjustment": "none"}
    now = utcnow()
    cost = UNITS * PRICE
    Position.objects.create(
        account=account, instrument=instrument, quantity=UNITS, cost=cost, average_price=PRICE, **series
    )
    Account.objects.filter(pk=account.pk).update(cash=account.starting_cash - cost)
    bought = PaperOrder.objects.create(
        client_order_id=f"drill-{account.pk.hex}-stage",
        account=account,
        symbol=SYMBOL,
        side=OrderSide.BUY,
        type=OrderType.MARKET,
        quantity=UNITS,
        fee_rate=Decimal(0),
        slippage=Decimal(0),
        market_time=now,
        bars_seen_until=now,
        quotes_seen_until=now,
        status=OrderStatus.FILLED,
        **series,
    )
    PaperFill.objects.create(
        venue_fill_id=f"paper-{bought.pk}-1", order=bought, quantity=UNITS, price=PRICE, fee=Decimal(0), occurred_at=now
    )


def _instrument() -> Instrument:
    with transaction.atomic():
        source = DataSource.objects.create(slug=SOURCE, title=NAME, kind="import", clock="historical")
        instrument = Instrument.objects.create(
            symbol=SYMBOL,
            name=NAME,
            exchange="24/7",
            default_source=source,
            quantity_precision=6,
            lot_size=Decimal("0.000001"),
        )
        now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        times = np.array([to_ns(now - timedelta(days=2 - day)) for day in range(3)], dtype=np.int64)
        flat = np.full(3, float(PRICE))
        columns = {"time": times, "open": flat, "high": flat, "low": flat, "close": flat, "volume": np.ones(3)}
        folder = store.series_folder(source=SOURCE, symbol=SYMBOL, timeframe="1d", adjustment="none")
        BarSeries.objects.create(
            instrument=instrument,
            source=source,
            timeframe="1d",
            adjustment="none",
            version=store.write_version(folder, columns, at_least=1),
            first_at=from_ns(int(times[0])),
            last_at=from_ns(int(times[-1])),
            bars_count=3,
        )
    return instrument


def _clear() -> None:
    """Remove everything of this drill, and of one that was cut off."""
    with transaction.atomic():
        accounts = list(Account.objects.filter(name__startswith=NAME).values_list("pk", flat=True))
        EquitySnapshot.objects.filter(account_id__in=accounts).delete()
        Position.objects.filter(account_id__in=accounts).delete()
        PaperFill.objects.filter(order__account_id__in=accounts).delete()
        PaperOrder.objects.filter(account_id__in=accounts).delete()
        Order.objects.filter(account_id__in=accounts).delete()
        Account.objects.filter(pk__in=accounts).delete()
        Instrument.objects.filter(symbol=SYMBOL).update(default_source=None)
        BarSeries.objects.filter(instrument__symbol=SYMBOL).delete()
        Instrument.objects.filter(symbol=SYMBOL).delete()
        DataSource.objects.filter(slug=SOURCE).delete()
        safety.drill_forget(scope=str(STRATEGY), account_ids=accounts)
    folder = store.series_folder(source=SOURCE, symbol=SYMBOL, timeframe="1d", adjustment="none")
    shutil.rmtree(folder.parents[1], ignore_errors=True)
