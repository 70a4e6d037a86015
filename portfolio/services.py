"""Every change of the portfolio's state, by name. All doors (API, steps, admin, commands) come through here."""

from portfolio.accounts import account_ensure_default, account_in_use, account_save
from portfolio.drafts import rebalance_preview
from portfolio.equity import equity_record
from portfolio.goals import goal_create, goal_delete, goal_restore, goal_update, goals_check
from portfolio.orders import NOT_SENT_AFTER, order_cancel, order_place
from portfolio.rebalances import rebalance_carry_on, rebalance_start, rebalances_carry_on
from portfolio.rebuild import Difference, positions_check, positions_rebuild
from portfolio.reconciliation import Reconciliation, account_reconcile, accounts_reconcile
from portfolio.settling import orders_settle
from portfolio.sweeping import AT_ONCE_S, brokers_clear, sweeps_work
from portfolio.watching import drawdowns_watch

__all__ = [
    "AT_ONCE_S",
    "NOT_SENT_AFTER",
    "Difference",
    "Reconciliation",
    "account_ensure_default",
    "account_in_use",
    "account_reconcile",
    "account_save",
    "accounts_reconcile",
    "brokers_clear",
    "drawdowns_watch",
    "equity_record",
    "goal_create",
    "goal_delete",
    "goal_restore",
    "goal_update",
    "goals_check",
    "order_cancel",
    "order_place",
    "orders_settle",
    "positions_check",
    "positions_rebuild",
    "rebalance_carry_on",
    "rebalance_preview",
    "rebalance_start",
    "rebalances_carry_on",
    "sweeps_work",
]
