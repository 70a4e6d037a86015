"""What of the portfolio can be scheduled."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from portfolio import rebuild, selectors, services
from safety.services import alert_raise
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import StrictSerializer
from tradingsite.common.clock import utcnow
from tradingsite.common.contracts.jobs import Job, NoConfig, job_types
from tradingsite.common.errors import Unavailable
from tradingsite.common.roles import Role


@job_types.register
class EquitySnapshot(Job):
    slug: ClassVar[str] = "portfolio.equity_snapshot"
    title: ClassVar[str] = "Take equity snapshot"
    help: ClassVar[str] = "Adds a point to the equity curve of each account that has traded."
    config_class: ClassVar[type[StrictSerializer]] = NoConfig

    def run(self, *, actor: Actor, config: Mapping[str, Any]) -> Mapping[str, Any]:
        accounts = list(selectors.accounts_traded())
        for account in accounts:
            services.equity_record(account=account, wall=utcnow())
        return {"accounts": len(accounts)}


@job_types.register
class CheckPositions(Job):
    slug: ClassVar[str] = "portfolio.check_positions"
    title: ClassVar[str] = "Check positions against fills"
    help: ClassVar[str] = "Rebuilds positions and cash from the fills in memory, and raises an alert where they differ."
    config_class: ClassVar[type[StrictSerializer]] = NoConfig
    least_role: ClassVar[Role] = Role.OPERATOR

    def run(self, *, actor: Actor, config: Mapping[str, Any]) -> Mapping[str, Any]:
        accounts = list(selectors.accounts_traded())
        found = [str(each) for account in accounts for each in rebuild.positions_check(account=account)]
        if found:
            alert_raise(
                kind="positions",
                name="Positions differ from their fills",
                severity="critical",
                message="; ".join(found)[:2000],
                actor=actor,
            )
        return {"accounts": len(accounts), "differences": found}


@job_types.register
class Reconcile(Job):
    slug: ClassVar[str] = "portfolio.reconcile"
    title: ClassVar[str] = "Reconcile with brokers"
    help: ClassVar[str] = (
        "Holds orders, positions and cash of every account against its broker's, takes over what happened there alone, "
        "and blocks an account where they differed. Fails when a broker does not answer."
    )
    config_class: ClassVar[type[StrictSerializer]] = NoConfig
    least_role: ClassVar[Role] = Role.OPERATOR

    def run(self, *, actor: Actor, config: Mapping[str, Any]) -> Mapping[str, Any]:
        results = services.accounts_reconcile(actor=actor)
        failed = [f"{each.account}: {each.problem}" for each in results if not each.compared]
        if failed:
            raise Unavailable("; ".join(failed), code="RECONCILIATION_FAILED")
        return {
            "accounts": len(results),
            "differences": [f"{r.account}: {each.kind} {each}" for r in results for each in r.differences],
            "taken_over": [f"{r.account}: {line}" for r in results for line in r.adopted],
        }


@job_types.register
class CheckDrift(Job):
    slug: ClassVar[str] = "portfolio.check_drift"
    title: ClassVar[str] = "Check drift"
    help: ClassVar[str] = (
        "Looks at every enabled goal at once; the desk does so twice a minute anyway. Raises an alert for each that has "
        "just drifted over its threshold."
    )
    config_class: ClassVar[type[StrictSerializer]] = NoConfig

    def run(self, *, actor: Actor, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return services.goals_check(at_most_every=timedelta(0))
