"""The phases of the autonomous agent as step types: parts of the workflow that the desk keeps for it, and of no other."""

from collections import Counter
from decimal import Decimal
from typing import Any, ClassVar

from agents.autonomous import runs
from agents.autonomous.acting import act
from agents.autonomous.analysing import analyse, opinion_read
from agents.autonomous.choices import Autonomy, Phase, RunStatus
from agents.autonomous.deciding import Quote, decisions_of
from agents.autonomous.errors import NoRunOfTheAgent
from agents.autonomous.models import AgentRun
from agents.autonomous.observing import observe
from agents.autonomous.reflecting import reflect
from tradingsite.common.contracts.steps import StepConfig, StepContext, StepResult, StepType, step_types


class PhaseConfig(StepConfig):
    """Nothing: a run is set at /api/agent and pins what it was set to."""


def _run(context: StepContext) -> AgentRun:
    """Tell what has come since the last phase, and return the run.

    Raises:
        NoRunOfTheAgent: the step stands in somebody's own workflow, or its run of the agent has ended.
    """
    runs.run_follow(context.execution_id)
    run = AgentRun.objects.select_related("account").filter(execution_id=context.execution_id).first()
    if run is None:
        raise NoRunOfTheAgent("Only the autonomous agent runs this step: ask it to run by POST /api/agent/run.")
    if run.status != RunStatus.RUNNING:
        raise NoRunOfTheAgent(f"Run {run.pk} of the agent has ended ({run.status}); start a new one.")
    return run


@step_types.register
class AgentObserve(StepType):
    slug: ClassVar[str] = "agent_observe"
    title: ClassVar[str] = "Agent: observe"
    help: ClassVar[str] = "Pins the prices that the agent decides by, and looks at its account and the desk."
    config_class: ClassVar[type[StepConfig]] = PhaseConfig
    puts_out: ClassVar[frozenset[str]] = frozenset({"series"})
    offered: ClassVar[bool] = False

    def run(self, context: StepContext) -> StepResult:
        output = observe(context, _run(context))
        desk = output["desk"]
        said = f"{len(output['series'])} symbols with prices, equity {desk['equity']} {desk['currency']}"
        return StepResult(output, said)


@step_types.register
class AgentAnalyse(StepType):
    slug: ClassVar[str] = "agent_analyse"
    title: ClassVar[str] = "Agent: analyse"
    help: ClassVar[str] = "Asks the agent's strategies, and its team, what they think of each symbol."
    config_class: ClassVar[type[StepConfig]] = PhaseConfig
    needs: ClassVar[frozenset[str]] = frozenset({"series"})
    offered: ClassVar[bool] = False

    def run(self, context: StepContext) -> StepResult:
        output = analyse(context, _run(context), context.outputs[Phase.OBSERVE])
        counts = Counter(each["action"] for each in output["opinions"])
        said = ", ".join(f"{counts[word]} {word}" for word in ("BUY", "SELL", "HOLD") if counts[word])
        return StepResult(output, f"{len(output['opinions'])} opinions: {said}" if said else "nobody was asked")


@step_types.register
class AgentDecide(StepType):
    slug: ClassVar[str] = "agent_decide"
    title: ClassVar[str] = "Agent: decide"
    help: ClassVar[str] = "Makes one decision for each symbol of what was said of it; disagreement is a HOLD."
    config_class: ClassVar[type[StepConfig]] = PhaseConfig
    needs: ClassVar[frozenset[str]] = frozenset({"series"})
    puts_out: ClassVar[frozenset[str]] = frozenset({"decisions"})
    offered: ClassVar[bool] = False

    def run(self, context: StepContext) -> StepResult:
        _run(context)
        quotes = {
            symbol: Quote(Decimal(pin["decision_close"]), pin["decision_time"])
            for symbol, pin in context.merged("series").items()
        }
        opinions = [opinion_read(each) for each in context.outputs[Phase.ANALYSE]["opinions"]]
        decisions = [each.as_output() for each in decisions_of(opinions, quotes)]
        for each in decisions:
            context.log(f"{each['symbol']}: {each['action']}: {each['reason']}"[:500])
        counts = Counter(each["action"] for each in decisions)
        said = ", ".join(f"{counts[word]} {word}" for word in ("BUY", "SELL", "HOLD") if counts[word])
        return StepResult({"decisions": decisions}, said)


@step_types.register
class AgentAct(StepType):
    slug: ClassVar[str] = "agent_act"
    title: ClassVar[str] = "Agent: act"
    help: ClassVar[str] = "Does with the intents that passed the gate what the agent is allowed to."
    config_class: ClassVar[type[StepConfig]] = PhaseConfig
    needs: ClassVar[frozenset[str]] = frozenset({"intents"})
    offered: ClassVar[bool] = False

    def run(self, context: StepContext) -> StepResult:
        run = _run(context)
        output = act(context, run, context.latest("intents", []), context.latest("decisions", []))
        return StepResult(output, _came_of(output))


def _came_of(output: dict[str, Any]) -> str:
    if output["autonomy"] == Autonomy.ACT:
        return f"{len(output['orders'])} orders"
    if output["autonomy"] == Autonomy.PROPOSE:
        return f"{len(output['proposals'])} proposals"
    return f"it would have placed {len(output['would_order'])} orders"


@step_types.register
class AgentReflect(StepType):
    slug: ClassVar[str] = "agent_reflect"
    title: ClassVar[str] = "Agent: reflect"
    help: ClassVar[str] = "Sums the run up, and looks at what came of earlier advice."
    config_class: ClassVar[type[StepConfig]] = PhaseConfig
    needs: ClassVar[frozenset[str]] = frozenset({"decisions"})
    offered: ClassVar[bool] = False

    def run(self, context: StepContext) -> StepResult:
        output = reflect(
            _run(context),
            series=context.merged("series"),
            acted=context.outputs[Phase.ACT],
            decisions=context.latest("decisions", []),
        )
        return StepResult(output, output["report_summary"])
