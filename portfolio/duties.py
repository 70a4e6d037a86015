"""What the portfolio does in the background of every process that carries work."""

from portfolio import selectors, services
from tradingsite.common import background
from tradingsite.common.clock import utcnow

SETTLE_EVERY_S = 1.5
"""A little less than the duty's own interval, so that a process is not a moment too early for its own next round."""


def settle() -> int:
    """Bring open orders up to what the broker knows; in one process at a time, and as often in ten as in one."""
    return services.orders_settle(wall=utcnow(), at_most_every_s=SETTLE_EVERY_S)


def sweep() -> int:
    """Do a round of what kills have begun and is not confirmed."""
    return services.sweeps_work()


def mark_equity() -> None:
    """Add a point to each account's equity curve; accounts that never traded have none to add."""
    for account in selectors.accounts_traded():
        services.equity_record(account=account, wall=utcnow())


def watch_goals() -> None:
    """Look at every goal that nobody has looked at for a while, and raise an alert where one has drifted too far."""
    services.goals_check()


def carry_on_rebalances() -> None:
    """Send what rebalances still have to send: buys whose sells have been filled, and what a dead process left."""
    services.rebalances_carry_on()


def reconcile() -> None:
    """Hold every account whose broker is elsewhere against it; the first round is that of the process's start."""
    services.accounts_reconcile(simulated=False)


def watch_drawdowns() -> None:
    """Have the drawdown breaker look at what each account is worth."""
    services.drawdowns_watch(wall=utcnow())


def register() -> None:
    """Register the duties; each is safe in any number of processes at once."""
    background.register("portfolio.settle", settle, every_s=2)
    background.register("portfolio.kill_sweep", sweep, every_s=1)
    background.register("portfolio.equity", mark_equity, every_s=60)
    background.register("portfolio.reconcile", reconcile, every_s=60)
    background.register("portfolio.breaker", watch_drawdowns, every_s=10)
    # Twice as often as a goal is looked at, so that it waits no longer than one and a half times that.
    background.register("portfolio.goals", watch_goals, every_s=15)
    background.register("portfolio.rebalances", carry_on_rebalances, every_s=5)
