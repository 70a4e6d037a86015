"""What of the market can be scheduled."""

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework import serializers

from market.choices import Timeframe
from market.services import bars_import_source
from market.sources import sources
from tradingsite.common.actor import Actor
from tradingsite.common.api.serializers import StrictSerializer, SymbolField
from tradingsite.common.contracts.jobs import Job, job_types
from tradingsite.common.contracts.registry import UnknownName
from tradingsite.common.errors import FieldError, ValidationFailed


class ImportBarsConfig(StrictSerializer):
    source = serializers.CharField(  # type: ignore[assignment]  # a field; DRF keeps it apart from its own of this name
        max_length=40, help_text="Where the bars come from."
    )
    symbols = serializers.ListField(
        child=SymbolField(), required=False, default=list, max_length=500, help_text="Empty takes all it lists."
    )
    timeframe = serializers.ChoiceField(choices=Timeframe.choices, required=False, default=Timeframe.D1.value)
    replace = serializers.BooleanField(
        required=False, default=False, help_text="Take the source's figures where they differ from what is stored."
    )


@job_types.register
class ImportBars(Job):
    slug: ClassVar[str] = "market.import_bars"
    title: ClassVar[str] = "Import bars"
    help: ClassVar[str] = "Fetches prices from a source and stores what is new."
    config_class: ClassVar[type[StrictSerializer]] = ImportBarsConfig

    def check(self, *, config: Mapping[str, Any]) -> None:
        try:
            sources.get(config["source"])
        except UnknownName:
            names = ", ".join(each.slug for each in sources.all())
            detail = f"Must be one of {names}."
            raise ValidationFailed(errors=[FieldError("source", "invalid_choice", detail)]) from None

    def run(self, *, actor: Actor, config: Mapping[str, Any]) -> Mapping[str, Any]:
        record = bars_import_source(actor=actor, **config)
        return {"import_id": str(record.pk), "status": record.status, "report": record.report}
