"""The optimiser's step type: what a tuned model expects."""

from typing import Any

from rest_framework import serializers

from optimize.modelling.reading import last_forecast, model_named
from tradingsite.common.contracts.steps import StepConfig, StepContext, StepError, StepResult, StepType, step_types
from workflows.steps import pinned_bars


class ForecastConfig(StepConfig):
    """Which model, and what its forecast is called by the conditions behind it."""

    model = serializers.UUIDField(help_text="Id of a tuned model, from GET /api/models.")
    name = serializers.RegexField(
        r"^[a-z][a-z0-9_]{0,39}\Z", default="model", help_text="What later steps call the probability of a rise."
    )

    def validate_model(self, value: Any) -> str:
        # A definition is JSON.
        return str(value)


@step_types.register
class Forecast(StepType):
    """Asks a tuned model about the newest complete bar of each symbol; a condition step compares the answer."""

    slug = "model_forecast"
    title = "Model forecast"
    help = (
        "Asks a tuned model how likely a rise is, for conditions to compare, on the bars that market_data has pinned."
    )
    config_class = ForecastConfig
    reads_only = True

    def run(self, context: StepContext) -> StepResult:
        pinned = context.merged("series")
        if not pinned:
            raise StepError("No market data: put a market_data step before this one.", code="NO_MARKET_DATA")
        reference, name = str(context.config["model"]), context.config.get("name", "model")
        row = model_named(reference, "model")
        values: dict[str, dict[str, float | None]] = {}
        for done, (symbol, series) in enumerate(sorted(pinned.items()), start=1):
            context.check()
            newest, before = last_forecast(reference, pinned_bars(symbol, series))
            values[symbol] = {"value": newest, "previous": before}
            context.progress(done / len(pinned))
        shown = ", ".join(f"{symbol} {_shown(value['value'])}" for symbol, value in values.items())
        context.log(f"{row.name}, trained until {row.trained_until:%Y-%m-%d %H:%M}: {shown}")
        return StepResult({"indicators": {name: values}}, f"{name}: {shown}"[:500])


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
