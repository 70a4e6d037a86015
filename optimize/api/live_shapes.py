"""Shapes of live adaptation."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from optimize.adaptation import selectors
from optimize.adaptation.choices import AdaptationStatus, EventStatus, Mode, Trigger, WatchStatus
from optimize.api.fields import NumberField, WholeField
from optimize.api.serializers import AnyJsonField, CostsSerializer, ObjectField
from optimize.walkforward.asking import OBJECTIVES
from tradingsite.common.api.serializers import StrictSerializer, UtcDateTimeField

REASON_MAX = 500
# Wider than any of use: whether a window is long enough for a strategy is checked against it.
BARS_MAX = 100_000


class LiveAdaptationBody(StrictSerializer):
    """How the parameters of a strategy are to follow the market."""

    strategy_id = serializers.UUIDField()
    trailing_window = WholeField(
        min_value=1, max_value=BARS_MAX, help_text="Bars that a round looks at, up to the newest complete one."
    )
    schedule = serializers.CharField(max_length=200, help_text="Cron, five fields, such as `0 22 * * mon-fri`.")
    max_param_change_pct = NumberField(
        min_value=0.01,
        max_value=100,
        help_text="Percent of its present value by which a round may move a number; choices may change at 100 alone.",
    )
    mode = serializers.ChoiceField(
        choices=Mode.choices,
        default=Mode.APPROVE.value,
        help_text="suggest: it is only told. approve: it waits for a person. auto: it is applied and watched.",
    )
    objective = serializers.ChoiceField(choices=OBJECTIVES, default="sharpe", help_text="What the search chooses by.")
    search_space = AnyJsonField(
        required=False,
        allow_null=True,
        default=None,
        help_text='Parameter to list of values, such as {"fast": [5, 10, 20]}; the type\'s own grid when left out.',
    )
    regime = AnyJsonField(
        required=False,
        allow_null=True,
        default=None,
        help_text='Whose change starts a round, such as {"kind": "volatility", "symbol": "SPY", "cooldown_bars": 20} '
        "with any setting of that detector; none when left out.",
    )
    costs = CostsSerializer(
        required=False, allow_null=True, default=None, help_text="Those of the desk's account when left out."
    )
    watch_bars = WholeField(
        min_value=5,
        max_value=BARS_MAX,
        default=60,
        help_text="Bars after a change during which what was promised is held against it.",
    )
    timezone = serializers.CharField(max_length=64, default="UTC", help_text="Of the schedule; an IANA name.")


class DecisionBody(StrictSerializer):
    reason = serializers.CharField(max_length=REASON_MAX, required=False, allow_blank=True, default="")


class FrozenShape(StrictSerializer):
    code = serializers.CharField()
    detail = serializers.CharField()


class RoundShape(StrictSerializer):
    """A search for better parameters that is under way."""

    round_id = serializers.UUIDField(source="pk")
    job_id = serializers.UUIDField(help_text="How far it is: /api/optimize/{job_id}.")
    trigger = serializers.ChoiceField(choices=Trigger.choices)
    started_at = UtcDateTimeField(source="created_at")


class LastEventShape(StrictSerializer):
    number = serializers.IntegerField()
    at = UtcDateTimeField()
    trigger = serializers.ChoiceField(choices=Trigger.choices)
    status = serializers.ChoiceField(choices=EventStatus.choices)
    message = serializers.CharField()


class LiveAdaptationShape(StrictSerializer):
    """An adaptation and how it stands."""

    id = serializers.UUIDField(source="adaptation.pk")
    status = serializers.ChoiceField(choices=AdaptationStatus.choices, source="adaptation.status")
    next_run = UtcDateTimeField(allow_null=True, help_text="null when it is stopped, or its schedule is paused.")
    strategy_id = serializers.UUIDField(source="adaptation.strategy_id")
    strategy_name = serializers.CharField(source="adaptation.strategy.name")
    mode = serializers.ChoiceField(choices=Mode.choices, source="adaptation.mode")
    trailing_window = serializers.IntegerField(source="adaptation.trailing_window")
    schedule = serializers.CharField(source="adaptation.schedule.cron")
    timezone = serializers.CharField(source="adaptation.schedule.timezone")
    schedule_id = serializers.UUIDField(source="adaptation.schedule_id")
    max_param_change_pct = serializers.FloatField(source="adaptation.max_param_change_pct")
    objective = serializers.CharField(source="adaptation.objective")
    search_space = ObjectField(source="adaptation.search_space", allow_null=True)
    regime = ObjectField(source="adaptation.regime", allow_null=True)
    costs = CostsSerializer(source="adaptation.costs")
    watch_bars = serializers.IntegerField(source="adaptation.watch_bars")
    frozen = FrozenShape(allow_null=True, help_text="Why nothing may be changed now.")
    round = RoundShape(source="open_round", allow_null=True, help_text="What is under way.")
    proposal = serializers.IntegerField(allow_null=True, help_text="The number of the event that waits for approval.")
    events_count = serializers.IntegerField(source="adaptation.events_count")
    last_event = LastEventShape(allow_null=True)
    created_at = UtcDateTimeField(source="adaptation.created_at")
    created_by = serializers.SerializerMethodField()
    stopped_at = UtcDateTimeField(source="adaptation.stopped_at", allow_null=True)

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_created_by(self, standing: selectors.Standing) -> str | None:
        owner = standing.adaptation.created_by
        return None if owner is None else owner.get_username()


class RoundStarted(StrictSerializer):
    """A round that was asked for."""

    round_id = serializers.UUIDField()
    job_id = serializers.UUIDField()


class EventShape(StrictSerializer):
    """What happened. It never changes; what came of it is told by `outcome`."""

    number = serializers.IntegerField()
    at = UtcDateTimeField()
    trigger = serializers.ChoiceField(choices=Trigger.choices)
    status = serializers.ChoiceField(choices=EventStatus.choices)
    outcome = serializers.SerializerMethodField(
        help_text="How a later event settled it; `open` while it waits; null where there is nothing to settle."
    )
    about = serializers.IntegerField(allow_null=True, help_text="The number of the event that this one settles.")
    live_params = ObjectField(allow_null=True, help_text="What the strategy decided by before it.")
    proposed_params = ObjectField(allow_null=True)
    applied_params = ObjectField(allow_null=True, help_text="What it decides by since; null: as before.")
    version_before = serializers.IntegerField(allow_null=True, help_text="The strategy's version before it.")
    version_after = serializers.IntegerField(allow_null=True)
    evidence = ObjectField()
    code = serializers.CharField()
    message = serializers.CharField()
    actor = serializers.CharField(source="actor_name")
    round_id = serializers.UUIDField(allow_null=True)
    job_id = serializers.UUIDField(allow_null=True)

    @extend_schema_field(serializers.ChoiceField(choices=selectors.OUTCOMES, allow_null=True))
    def get_outcome(self, event: Any) -> str | None:
        found: str | None = self.context["outcomes"].get(event.number)
        return found


class RegimePointShape(StrictSerializer):
    time = UtcDateTimeField(source="bar_time", help_text="When the bar opened; its regime was known at its end.")
    value = serializers.FloatField(allow_null=True, help_text="What the regime was read from.")
    regime = serializers.SerializerMethodField(help_text="null while there were too few bars to tell.")

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_regime(self, point: Any) -> str | None:
        return point.label or None


class RegimePointChange(StrictSerializer):
    time = UtcDateTimeField(source="bar_time")
    before = serializers.CharField(source="changed_from")
    after = serializers.CharField(source="label")
    value = serializers.FloatField(allow_null=True)


class LiveRegimes(StrictSerializer):
    """The regimes that were told of the bars when each of them was the newest."""

    adaptation_id = serializers.UUIDField()
    strategy_id = serializers.UUIDField()
    detector = ObjectField(
        allow_null=True, help_text="With `symbol` and `cooldown_bars`; null when none was asked for."
    )
    count = serializers.IntegerField()
    regimes = RegimePointShape(many=True)
    changes = RegimePointChange(many=True)


class WatchShape(StrictSerializer):
    """New parameters beside those they replaced, or a proposal beside those that are live."""

    id = serializers.UUIDField()
    event = serializers.IntegerField(source="event_number")
    applied = serializers.BooleanField(help_text="Whether a broken promise takes the change back.")
    status = serializers.ChoiceField(choices=WatchStatus.choices)
    params = ObjectField()
    shadow_params = ObjectField(help_text="What they are compared with: of a change, the ones it replaced.")
    promise = ObjectField()
    figures = ObjectField(help_text="Of both: return, Sharpe ratio, drawdown; and the floor by now.")
    bars = serializers.IntegerField(help_text="Judged so far.")
    from_time = UtcDateTimeField()
    seen_until = UtcDateTimeField(allow_null=True)
    ended_at = UtcDateTimeField(allow_null=True)
