"""A desk to count queries on: whatever table a list reads, it has more rows after `Rows.more()` than before."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser, Group
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from django_celery_results.models import TaskResult

from agents.models import Agent, AgentConfig, AgentConversation, AgentRecommendation, AgentRun, Proposal
from executions.choices import TaskStatus
from executions.kafka.models import InboxMessage, ParkedRecord
from executions.models import EarlierTask, Payload, RunEnding, StepExecution, WorkerHeartbeat, WorkflowExecution
from executions.news import stream_of
from market.models import BarImport, DataSource, FeedImport, Fundamental, Instrument, NewsItem
from optimize.adaptation.models import LiveAdaptation
from optimize.models import OptimizationChunk, OptimizationJob, TrialRecord, TunedModel
from optimize.walkforward.chunks import packed
from portfolio import services as portfolio
from portfolio.models import (
    Account,
    BrokerRound,
    CashMovement,
    EquitySnapshot,
    Fill,
    Goal,
    GoalWatch,
    Order,
    PaperFill,
    PaperOrder,
    Position,
    Rebalance,
    RebalanceLeg,
    RoundTrip,
)
from safety import sentinel
from safety.models import (
    AlertCursor,
    AlertEmail,
    AlertEvent,
    AlertRound,
    AlertRule,
    AlertSighting,
    AlertState,
    AuditLog,
    DayCounter,
    DecisionOutcome,
    DrawdownBreaker,
    FlattenPermit,
    GateDecision,
    KillDrill,
    KillSweep,
    KillSwitch,
    KillSwitchEvent,
    ReconciliationBlock,
    ScopedLimits,
)
from scheduler.models import ClockKeeper, Schedule, ScheduleFire
from tests.portfolio.conftest import Prices
from tests.queries.adapting import adapting
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow
from tradingsite.common.ids import uuid7
from tradingsite.common.models import (
    ApiKey,
    IdempotencyRecord,
    LiveEvent,
    LiveStream,
    OutboxMessage,
    SocketTicket,
    Webhook,
    WebhookAttempt,
    WebhookDelivery,
)
from workflows.choices import WorkflowType
from workflows.metrics import Tally
from workflows.models import MetricsCoverage, Strategy, Workflow, WorkflowMetrics, WorkflowMetricsMonth, WorkflowVersion

_BARS = [(100.0, 104.0, 99.0, 101.0), (101.0, 105.0, 100.0, 102.0), (103.0, 110.0, 90.0, 95.0)]
_SERIES = {"timeframe": "1d", "adjustment": "none"}


class Rows:
    """Adds one row of each kind at a time, and a child to the first row of each kind that has children.

    Every row has relations of its own (its author, its instrument, its source), so that a list which follows them row
    by row is found out.
    """

    def __init__(self) -> None:
        self.count = 0
        self.account: Account = portfolio.account_ensure_default(actor=Actor.system("tests"))
        self.more(1)
        # The rows that routes of one thing and its children are asked for.
        self.key = ApiKey.objects.earliest("created_at")
        self.webhook = Webhook.objects.earliest("created_at")
        self.delivery = WebhookDelivery.objects.earliest("id")
        self.bar_import = BarImport.objects.earliest("created_at")
        self.alert = AlertEvent.objects.earliest("created_at")
        self.rule = AlertRule.objects.earliest("created_at")
        self.goal = Goal.objects.earliest("created_at")
        self.rebalance = Rebalance.objects.earliest("created_at")
        self.order = Order.objects.earliest("created_at")
        self.paper_order = PaperOrder.objects.earliest("created_at")
        self.workflow = Workflow.objects.earliest("created_at")
        self.strategy = Strategy.objects.earliest("created_at")
        self.run = WorkflowExecution.objects.earliest("created_at")
        self.agent = Agent.objects.earliest("created_at")
        self.agent_run = AgentRun.objects.earliest("created_at")
        self.proposal = Proposal.objects.earliest("created_at")
        self.job = OptimizationJob.objects.earliest("created_at")
        self.model = TunedModel.objects.earliest("created_at")
        self.adaptation = LiveAdaptation.objects.earliest("created_at")
        self.crontab = CrontabSchedule.objects.earliest("pk")
        self.clocked = ClockedSchedule.objects.earliest("pk")
        self._version(self.workflow, 2, None)
        self.more(1)

    def more(self, times: int = 1) -> None:
        """Let every list of the desk grow by `times` rows; a query for each row shows with one."""
        for _ in range(times):
            self.count += 1
            author = get_user_model().objects.create(username=f"person{self.count}")
            self._access(author)
            instrument = self._market(author)
            run = self._runs(author)
            self._agents(author, run)
            self._optimisations(author)
            self._portfolio(instrument, run)
            self._safety()
            self._alerts(author)
            self._foundations()
            self._webhooks(author)
            self._schedules()
            adapting(self, author)

    def _optimisations(self, author: AbstractBaseUser) -> None:
        now = utcnow()
        job = OptimizationJob.objects.create(
            kind="strategy",
            strategy_type="momentum",
            status="complete",
            completed_at=now,
            result={},
            total_combinations=2,
            chunks_count=1,
            created_by=author,
        )
        table = packed({"number": np.arange(2)})
        OptimizationChunk.objects.create(job=job, index=0, first=0, last=2, status="done", result=table)
        TrialRecord.objects.create(
            job=job, strategy_type="momentum", symbols=["SPY"], timeframe="1d", start=now, end=now, count=0, hashes=b""
        )
        TunedModel.objects.create(
            name="A model", job=job, model_type="xgboost", digest="0" * 64, size=1, fingerprint="0" * 64,
            trained_from=now, trained_until=now, warm_up=1, created_by=author,
        )  # fmt: skip

    def _access(self, author: AbstractBaseUser) -> None:
        author.groups.add(Group.objects.create(name=f"group{self.count}"))  # type: ignore[attr-defined]
        soon = utcnow() + timedelta(minutes=1)
        ApiKey.objects.create(name="key", prefix=f"p{self.count}", hashed_secret="x", role="viewer", created_by=author)
        SocketTicket.objects.create(
            hashed_ticket=str(self.count),
            user=author,
            actor_kind="user",
            actor_name="x",
            role="viewer",
            expires_at=soon,
        )
        IdempotencyRecord.objects.create(scope="x", key=str(self.count), fingerprint="x", expires_at=soon)

    def _market(self, author: AbstractBaseUser) -> Instrument:
        source = DataSource.objects.create(
            slug=f"source{self.count}", title="A source", kind="import", clock="historical"
        )
        symbol = f"SYM{self.count}"
        Prices().series(symbol, _BARS, default_source=source, created_by_id=author.pk)
        BarImport.objects.create(
            source_slug=source.slug, status="done", actor_name="x", created_by_id=author.pk, report={"rows": 3}
        )
        FeedImport.objects.create(kind="news", status="done", actor_name="x", created_by_id=author.pk)
        NewsItem.objects.create(symbol=symbol, published_at=utcnow(), source="x", headline="x", digest=symbol)
        Fundamental.objects.create(
            symbol=symbol, metric="eps", as_of=utcnow().date(), published_at=utcnow(), value=Decimal(1)
        )
        return Instrument.objects.get(symbol=symbol)

    def _version(self, workflow: Workflow, number: int, author: AbstractBaseUser | None) -> WorkflowVersion:
        step = {"name": f"step {number}", "type": "market_data", "config": {}}
        return WorkflowVersion.objects.create(
            workflow=workflow, version_number=number, type=WorkflowType.CUSTOM, steps=[step], created_by=author
        )

    def _runs(self, author: AbstractBaseUser) -> WorkflowExecution:
        workflow = Workflow.objects.create(name=f"Workflow {self.count}", type="custom", created_by=author)
        workflow.current_version = version = self._version(workflow, 1, author)
        workflow.save()
        strategy = Strategy.objects.create(name=f"Strategy {self.count}", workflow=workflow, created_by=author)
        strategy.versions.create(version_number=1, workflow=workflow, created_by=author)
        inline = Strategy.objects.create(name=f"Inline {self.count}", created_by=None)
        now = utcnow()

        def run_of(which: Strategy, **fields: Any) -> WorkflowExecution:
            said = {"task_id": str(uuid7()), "status": "completed", "started_at": now, "completed_at": now, **fields}
            return WorkflowExecution.objects.create(strategy=which, **said)

        run = run_of(strategy, workflow=workflow, workflow_version=version, created_by=author)
        run_of(inline)
        first = getattr(self, "run", run)
        if first is not run:
            self._version(self.workflow, self.count + 1, author)
            self.strategy.versions.create(version_number=self.count + 1, workflow=workflow, created_by=author)
            Strategy.objects.create(name=f"Also {self.count}", workflow=self.workflow, created_by=author)
            run_of(self.strategy, workflow=self.workflow, workflow_version=version, created_by=author)
        EarlierTask.objects.create(task_id=str(uuid7()), execution=run, status=TaskStatus.FAILURE)
        RunEnding.objects.create(execution_id=run.pk, task_id=run.task_id, status="completed", run_created_at=now)
        Payload.objects.create(digest=f"{self.count:064}", size=1, data={})
        TaskResult.objects.create(task_id=run.task_id, status="SUCCESS")
        for which in {first, run}:
            StepExecution.objects.create(
                execution=which, index=self.count, name=f"step {self.count}", type="market_data", status="completed",
                started_at=now, completed_at=now,
                # Only the newest step that holds these is shown, with all of its lines.
                output={"decisions": [{"symbol": f"SYM{n}", "action": "BUY"} for n in range(self.count)]},
            )  # fmt: skip
        self._metrics(first)
        LiveEvent.objects.create(stream=stream_of(first.pk), feed="execution", seq=self.count, type="progress")
        WorkerHeartbeat.objects.create(name=f"worker{self.count}", host="here", pid=self.count, queues=["runs"])
        return first

    def _metrics(self, run: WorkflowExecution) -> None:
        day = utcnow().date() - timedelta(days=10 + self.count)
        # The desk's own zone is covered, so that both the table and the runs are read.
        for zone in (settings.DESK_TIME_ZONE, f"Zone/{self.count}"):
            MetricsCoverage.objects.get_or_create(zone=zone, defaults={"through": utcnow().date() - timedelta(days=5)})
        figures = Tally(by_status=Counter(completed=self.count)).to_json()
        for rows, date in ((WorkflowMetrics, day), (WorkflowMetricsMonth, day.replace(year=1990 + self.count, day=1))):
            rows.objects.create(
                zone=settings.DESK_TIME_ZONE, workflow_id=run.workflow_id, date=date, version_number=1, metrics=figures
            )

    def _agents(self, author: AbstractBaseUser, run: WorkflowExecution) -> None:
        agent = Agent.objects.create(
            name=f"agent{self.count}", kind="http", endpoint="https://x.test/", created_by=author,
            # Probed a moment ago, however long the test takes: nobody is called.
            health_checked_at=utcnow() + timedelta(days=1),
        )  # fmt: skip
        for number, which in enumerate((agent, getattr(self, "agent", agent))):
            AgentConversation.objects.create(
                workflow_execution=run, seq=2 * self.count + number, step_index=0, agent=which, agent_name=which.name,
                message_type="response", message_content="{}", tokens_used=5, latency_ms=1.5,
            )  # fmt: skip
            AgentRecommendation.objects.create(
                workflow_execution=run, step_index=2 * self.count + number, symbol="IBM", agent=which, agent_name=which.name,
                action="BUY", final_action="BUY", price=Decimal(100), bar_time=utcnow(), return_1=0.01,
            )  # fmt: skip

        account = Account.objects.create(name=f"Agent's {self.count}", starting_cash=Decimal(100), cash=Decimal(100))
        AgentConfig.objects.create(account=account, schedule=None)
        # Each with a run of its own, as the database wants it.
        execution = WorkflowExecution.objects.create(strategy=run.strategy, task_id=f"agent {self.count}")
        StepExecution.objects.create(
            execution=execution, index=0, name="observe", type="agent_observe", attempts=1, started_at=utcnow()
        )
        agent_run = AgentRun.objects.create(
            account=account, execution=execution, trigger="user", autonomy="propose", status="completed",
            finished_at=utcnow(), created_by=author,
        )  # fmt: skip
        Proposal.objects.create(
            run=agent_run, account=self.account, client_order_id=f"proposal-{self.count}", symbol="SYM1", side="buy",
            quantity=Decimal(1), reference_price=Decimal(100), price_bound_pct=Decimal(2), status="approved",
            decided_at=utcnow(), decided_by=author, expires_at=utcnow(),
        )  # fmt: skip

    def _portfolio(self, instrument: Instrument, run: WorkflowExecution) -> None:
        Account.objects.create(name=f"Account {self.count}", starting_cash=Decimal(100), cash=Decimal(100))
        order = self._order(instrument, run, status="filled", filled_quantity=Decimal(2))
        self._order(instrument, run, status="accepted")
        for number, which in enumerate((order, getattr(self, "order", order))):
            Fill.objects.create(
                venue_fill_id=f"{self.count}-{number}", account=self.account, order=which, instrument=instrument,
                sequence=2 * self.count + number, side="buy", quantity=Decimal(1), price=Decimal(100),
                fee=Decimal("0.1"), occurred_at=utcnow(),
            )  # fmt: skip
        RoundTrip.objects.create(
            account=self.account, instrument=instrument, opening_order=order, execution_id=run.pk, opened_at=utcnow(),
            closed_at=utcnow(), realized_before=Decimal(0), profit=Decimal(1),
        )  # fmt: skip
        self._position(instrument, "prices-historical")
        self._position(Instrument.objects.create(symbol=f"GEN{self.count}"), "demo")
        self._position(Instrument.objects.create(symbol=f"LOST{self.count}"), "gone")
        EquitySnapshot.objects.create(
            account=self.account, at=utcnow() + timedelta(seconds=self.count), cash=Decimal(1),
            positions_value=Decimal(1), equity=Decimal(2),
        )  # fmt: skip
        CashMovement.objects.create(id=uuid7(), account=self.account, amount=Decimal(self.count), detail="Dividend")
        BrokerRound.objects.create(
            account=Account.objects.create(name=f"another{self.count}", starting_cash=Decimal(1), cash=Decimal(1)),
            began_at=utcnow(),
        )
        self._goals(instrument, order)
        now = utcnow()
        paper = PaperOrder.objects.create(
            client_order_id=f"c{self.count}", account=self.account, symbol=instrument.symbol, side="buy",
            type="market", quantity=Decimal(1), fee_rate=Decimal(0), slippage=Decimal(0), source="prices-historical",
            market_time=now, bars_seen_until=now, quotes_seen_until=now, **_SERIES,
        )  # fmt: skip
        for number, which in enumerate((paper, getattr(self, "paper_order", paper))):
            PaperFill.objects.create(
                venue_fill_id=f"{self.count}-{number}", order=which, quantity=Decimal(1), price=Decimal(100),
                fee=Decimal(0), occurred_at=now,
            )  # fmt: skip

    def _goals(self, instrument: Instrument, order: Order) -> None:
        account = Account.objects.get(name=f"Account {self.count}") if self.count > 1 else self.account
        goal = Goal.objects.create(
            name=f"goal {self.count}", account=account, target_weights={"SYM1": "0.5"}, drift_threshold=Decimal("0.1")
        )
        GoalWatch.objects.create(goal=goal, over_since=utcnow(), checked_at=utcnow(), total_drift=Decimal("0.2"))
        made = [
            Rebalance.objects.create(
                goal=which, account=account, key=str(uuid7()), status="completed", equity=Decimal(1),
                total_drift=Decimal(1), expected_drift=Decimal(0), min_trade=Decimal(0), sell_outside=False,
                actor_kind="user", actor_name="x",
            )
            for which in {goal, getattr(self, "goal", goal)}
        ]  # fmt: skip
        for which in {*made, getattr(self, "rebalance", made[0])}:
            RebalanceLeg.objects.create(
                rebalance=which, number=self.count, instrument=instrument, side="buy", order=order,
                planned_quantity=Decimal(1), reference_price=Decimal(1), source="prices-historical",
                client_order_id=str(uuid7()), **_SERIES,
            )  # fmt: skip

    def _order(self, instrument: Instrument, run: WorkflowExecution, **fields: Any) -> Order:
        return Order.objects.create(
            client_order_id=f"{self.count}-{fields['status']}", account=self.account, instrument=instrument,
            strategy_id=run.strategy_id, execution_id=run.pk, mode="paper", side="buy", type="market",
            quantity=Decimal(2), reference_price=Decimal(100), source="prices-historical", **_SERIES, **fields,
        )  # fmt: skip

    def _position(self, instrument: Instrument, source: str) -> None:
        Position.objects.create(
            account=self.account, instrument=instrument, quantity=Decimal(1), cost=Decimal(100),
            average_price=Decimal(100), source=source, **_SERIES,
        )  # fmt: skip

    def _safety(self) -> None:
        who = {"actor_kind": "user", "actor_name": "x"}
        killed, by_file = str(uuid7()), str(uuid7())
        KillSwitch.objects.create(scope=killed, active=True, reason="stopped", since=utcnow(), by="x")
        KillSwitch.objects.create(scope=by_file, active=False)
        sentinel.write(by_file, {"reason": "stopped by file"})
        KillSwitchEvent.objects.create(scope=killed, action="killed", **who)
        sweep = KillSweep.objects.create(scope=killed, flatten=True, by="x")
        KillDrill.objects.create(
            by="x", processes=4, kills=3, orders=9, answered_in_s=0.1, from_call_p99_s=0.1, last_order_p99_s=0, last_order_max_s=0,
            denied_in_s=0.1, cancelled=9, confirmed_in_s=1.5, passed=True,
        )  # fmt: skip
        FlattenPermit.objects.create(
            sweep=sweep, number=1, client_order_id=f"flatten-{self.count}", account_id=self.account.pk, symbol="SYM1",
            side="sell", quantity=Decimal(1),
        )  # fmt: skip
        DayCounter.objects.create(day=utcnow().date(), account_id=uuid7(), name="trades", value=self.count)
        ScopedLimits.objects.create(scope="strategy", key=str(uuid7()), position_limit=Decimal(self.count))
        DrawdownBreaker.objects.create(
            account_id=uuid7(), sampled_at=utcnow(), equity=90, smoothed=90, peak=100, smoothed_peak=100,
            fall=Decimal("0.1"),
        )  # fmt: skip
        ReconciliationBlock.objects.create(account_id=uuid7(), code="CASH_MISMATCH", detail="10 less")
        for allowed, code in ((True, ""), (False, "POSITION_EXCEEDS_LIMIT")):
            decision = GateDecision.objects.create(
                allowed=allowed, code=code, client_order_id=str(self.count), account_id=self.account.pk, symbol="SYM1",
                side="buy", order_type="market", quantity="1", mode="paper", actor_name="x",
            )  # fmt: skip
            if allowed:
                DecisionOutcome.objects.create(decision=decision, kind="rejected", code="BROKER_REJECTED")
        AlertEvent.objects.create(name="Notice", kind="notify", severity="info", message=f"alert {self.count}")
        AuditLog.objects.create(
            door="api", action="test", target_type="x", target_id=str(self.count), target_repr="x", **who
        )

    def _alerts(self, author: AbstractBaseUser) -> None:
        email = AlertEmail.objects.create(user=author, subject="Alerts", body="m")
        rule = AlertRule.objects.create(
            name=f"rule {self.count}", kind="price_above", symbol="SYM1", threshold=Decimal(100), created_by=author,
            config={"source": None, "timeframe": "1d", "adjustment": None, "max_age_s": None},
        )  # fmt: skip
        AlertState.objects.create(rule=rule, revision=1, met=False, value=Decimal(90), since=utcnow())
        AlertSighting.objects.create(rule=rule, key=str(self.count))
        AlertCursor.objects.create(kind=f"kind {self.count}", until=utcnow())
        AlertRound.objects.get_or_create(id=1)
        AlertEvent.objects.create(
            alert_id=rule.pk, name=rule.name, kind=rule.kind, severity="info", message="m", email=email
        )

    def _foundations(self) -> None:
        where = {"topic": "desk.run-requests", "partition": 0, "offset": self.count}
        InboxMessage.objects.create(message_id=str(self.count), execution_id=uuid7(), task_id="x", **where)
        ParkedRecord.objects.create(digest=str(self.count), reason="not_json", detail="x", **where)
        OutboxMessage.objects.create(task="executions.run", task_id=str(uuid7()), queue="runs")
        LiveStream.objects.create(name=f"stream{self.count}", seq=self.count)

    def _webhooks(self, author: AbstractBaseUser) -> None:
        webhook = Webhook.objects.create(
            name=f"webhook{self.count}", url="https://x.test/", event_types=["*"], secret="x", created_by=author
        )
        for which in {webhook, getattr(self, "webhook", webhook)}:
            delivery = WebhookDelivery.objects.create(webhook=which, type="ping", body="{}")
        for one in {delivery, getattr(self, "delivery", delivery)}:
            WebhookAttempt.objects.create(delivery=one, number=self.count, status=500, answer="not today")

    def _schedules(self) -> None:
        made = {
            "interval": IntervalSchedule.objects.create(every=self.count, period="seconds"),
            "crontab": CrontabSchedule.objects.create(minute=str(self.count)),
            "solar": SolarSchedule.objects.create(event="sunrise", latitude=self.count, longitude=0),
            "clocked": ClockedSchedule.objects.create(clocked_time=utcnow()),
        }
        job = Schedule.objects.create(
            name=f"Job {self.count}", job_type="executions.run_workflow", kind="interval", every_s=60,
            config={"strategy_id": str(Strategy.objects.get(name=f"Strategy {self.count}").pk)},
        )  # fmt: skip
        ClockKeeper.objects.create(name=f"beat{self.count}", host="here", pid=self.count)
        self.schedule = getattr(self, "schedule", job)
        for which in {job, self.schedule}:
            ScheduleFire.objects.create(schedule=which, nominal_at=utcnow(), status="completed")
        for kind, schedule in made.items():
            for which in {schedule, getattr(self, kind, schedule)}:
                PeriodicTask.objects.create(
                    name=f"{kind} {self.count} {which.pk}", task="x", one_off=kind == "clocked", **{kind: which}
                )
