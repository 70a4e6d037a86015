"""The words of safety: what the gate answers, how the desk trades, what an alert is about."""

from django.db import models


class GateCode(models.TextChoices):
    """Why the gate denied an order, in the order in which it looks. Codes are part of the API contract."""

    KILL_SWITCH_ACTIVE = "KILL_SWITCH_ACTIVE", "The kill switch is set"
    TRADING_STATE_REDUCING = "TRADING_STATE_REDUCING", "Only orders that reduce risk are allowed"
    LIVE_TRADING_DISABLED = "LIVE_TRADING_DISABLED", "The desk is in paper mode"
    RECONCILIATION_PENDING = "RECONCILIATION_PENDING", "The account's books differ from its broker's"
    INSTRUMENT_NOT_ALLOWED = "INSTRUMENT_NOT_ALLOWED", "The instrument is not enabled"
    MARKET_CLOSED = "MARKET_CLOSED", "The exchange is closed"
    DATA_STALE = "DATA_STALE", "The last price is too old"
    PRICE_OUT_OF_COLLAR = "PRICE_OUT_OF_COLLAR", "The order may fill too far from the last price"
    QUANTITY_INVALID = "QUANTITY_INVALID", "The quantity does not fit the instrument"
    ORDER_NOTIONAL_EXCEEDS_LIMIT = "ORDER_NOTIONAL_EXCEEDS_LIMIT", "The order is too large"
    POSITION_EXCEEDS_LIMIT = "POSITION_EXCEEDS_LIMIT", "The position would become too large"
    EXPOSURE_EXCEEDS_LIMIT = "EXPOSURE_EXCEEDS_LIMIT", "All positions together would become too large"
    DAILY_TRADES_EXCEEDED = "DAILY_TRADES_EXCEEDED", "The day's trades are used up"
    DAILY_LOSS_EXCEEDED = "DAILY_LOSS_EXCEEDED", "The day's loss is too large"
    DRAWDOWN_EXCEEDED = "DRAWDOWN_EXCEEDED", "The account is too far below its peak"
    ORDER_RATE_EXCEEDED = "ORDER_RATE_EXCEEDED", "Too many orders within a minute"
    DUPLICATE_ORDER = "DUPLICATE_ORDER", "The same order was placed a moment ago"
    INSUFFICIENT_CASH = "INSUFFICIENT_CASH", "The cash does not cover the order"


class LimitScope(models.TextChoices):
    """Whose orders a narrower limit holds for."""

    STRATEGY = "strategy", "Strategy"
    INSTRUMENT = "instrument", "Instrument"


class BreakerLevel(models.TextChoices):
    """How far the drawdown breaker has gone with an account, in rising order."""

    NORMAL = "normal", "Normal"
    WARN = "warn", "Warning"
    REDUCE = "reduce", "Reduce only"
    KILL = "kill", "Kill"


class TradingState(models.TextChoices):
    """How freely the desk trades. HALTED is never stored: it is what a set kill switch makes of the other two."""

    ACTIVE = "active", "Active"
    REDUCING = "reducing", "Reducing: only orders that reduce risk"
    HALTED = "halted", "Halted: the kill switch is set"


SETTABLE_STATES = [(state.value, state.label) for state in (TradingState.ACTIVE, TradingState.REDUCING)]


class KillAction(models.TextChoices):
    """A line of the kill switch's history."""

    KILLED = "killed", "Killed"
    RESUMED = "resumed", "Resumed"


class CounterName(models.TextChoices):
    """What is counted per account and trading day."""

    TRADES = "trades", "Trades"


class OutcomeKind(models.TextChoices):
    """What became of an order that the gate let pass and that did not go its way."""

    REFUSED = "refused", "Refused by the desk for a reason of its own"
    STOPPED = "stopped", "Stopped by the last look at the kill switch"
    REJECTED = "rejected", "Rejected by the broker"


class AlertKind(models.TextChoices):
    """What an alert is about."""

    PRICE_ABOVE = "price_above", "Price above"
    PRICE_BELOW = "price_below", "Price below"
    PRICE_CROSSES = "price_crosses", "Price crosses"
    PERCENT_MOVE = "percent_move", "Percent move"
    INDICATOR = "indicator", "Indicator"
    DRIFT = "drift", "Drift"
    DRAWDOWN = "drawdown", "Drawdown"
    DAILY_LOSS = "daily_loss", "Daily loss"
    EXECUTION_FAILED = "execution_failed", "Execution failed"
    AGENT_DECISION = "agent_decision", "Agent decision"
    KILL_SWITCH = "kill_switch", "Kill switch"
    DATA_STALE = "data_stale", "Data stale"
    EXPRESSION = "expression", "Expression"
    # Not from a rule: what a workflow's own notify step says, and what the desk says of itself.
    NOTIFY = "notify", "Workflow notice"
    CLOCK = "clock", "Clock"
    SCHEDULE = "schedule", "Schedule"
    POSITIONS = "positions", "Positions"
    WEBHOOK_DISABLED = "webhook_disabled", "Webhook disabled"
    EMAIL_FAILED = "email_failed", "E-mail failed"
    AGENT_HEALTH = "agent_health", "Agent's health"
    ADAPTATION = "adaptation", "Live adaptation"


# What rules can be made of. The kinds after them are raised by the desk itself.
OCCURRENCE_KINDS = (AlertKind.EXECUTION_FAILED, AlertKind.AGENT_DECISION, AlertKind.KILL_SWITCH)
CONDITION_KINDS = (
    AlertKind.PRICE_ABOVE,
    AlertKind.PRICE_BELOW,
    AlertKind.PRICE_CROSSES,
    AlertKind.PERCENT_MOVE,
    AlertKind.INDICATOR,
    AlertKind.DRIFT,
    AlertKind.DRAWDOWN,
    AlertKind.DAILY_LOSS,
    AlertKind.DATA_STALE,
    AlertKind.EXPRESSION,
)
RULE_KINDS = [(kind.value, kind.label) for kind in AlertKind if kind in (*CONDITION_KINDS, *OCCURRENCE_KINDS)]


class AlertChannel(models.TextChoices):
    """How an alert of a rule is told. The history has every one, whatever the channels."""

    IN_APP = "in_app", "In the app"
    EMAIL = "email", "E-mail to the rule's owner"
    WEBHOOK = "webhook", "Webhooks that listen to alert.triggered"


class AlertStatus(models.TextChoices):
    """What the last look at a rule said. `unknown` is never a quiet no: its code says what is missing."""

    WAITING = "waiting", "Waiting: not looked at yet"
    CLEAR = "clear", "Clear: the condition does not hold"
    MET = "met", "Met: the condition holds"
    UNKNOWN = "unknown", "Unknown: it cannot be evaluated"
    LISTENING = "listening", "Listening: it fires when something happens"


class EmailStatus(models.TextChoices):
    PENDING = "pending", "Pending: to be sent, or sent again"
    SENT = "sent", "Sent: the mail server took it"
    FAILED = "failed", "Failed: the last attempt is used up"


class Severity(models.TextChoices):
    INFO = "info", "Info"
    WARNING = "warning", "Warning"
    CRITICAL = "critical", "Critical"


class Door(models.TextChoices):
    """The way by which a change came in, as far as the actor tells."""

    REQUEST = "request", "Web request"
    API_KEY = "api_key", "API key"
    SHELL = "shell", "Shell"
    SYSTEM = "system", "The desk itself"
