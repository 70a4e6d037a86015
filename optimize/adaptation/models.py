"""Adaptations, their rounds, the events that nothing changes any more, the regimes they saw, and what is watched after."""

from typing import Any, ClassVar, NoReturn

from django.conf import settings
from django.db import models
from django.db.models import Q

from optimize.adaptation.choices import SETTLES, AdaptationStatus, EventStatus, Mode, Trigger, WatchStatus
from scheduler.models import Schedule
from tradingsite.common.bases import Entity
from tradingsite.common.clock import utcnow
from workflows.models import Strategy


class LiveAdaptation(Entity):
    """How the parameters of one strategy may follow the market. One strategy has at most one that is active."""

    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, related_name="+", db_index=False)
    status = models.CharField(max_length=8, choices=AdaptationStatus.choices, default=AdaptationStatus.ACTIVE)
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.APPROVE)
    trailing_window = models.PositiveIntegerField(
        help_text="Bars that a round looks at, up to the newest complete one."
    )
    max_param_change_pct = models.FloatField(
        help_text="Percent of its present value by which a round may move a number."
    )
    objective = models.CharField(max_length=20)
    search_space = models.JSONField(null=True, blank=True, help_text="Parameter to values; none: the type's own grid.")
    regime = models.JSONField(
        null=True, blank=True, help_text="Detector as cleaned, with `symbol` and `cooldown_bars`."
    )
    costs = models.JSONField(help_text="{fee, slippage}, fractions.")
    watch_bars = models.PositiveIntegerField(
        help_text="Bars after a change during which its promise is held against it."
    )
    # When a round is due; the rule stands in the schedule and nowhere else.
    schedule = models.ForeignKey(Schedule, on_delete=models.PROTECT, related_name="+", db_index=False)
    # How many events there are; the next has the number after it.
    events_count = models.PositiveIntegerField(default=0)
    # Of the watch over its bars; both change by `update` alone, beside whatever else becomes of the row.
    look_at = models.DateTimeField(
        null=True, blank=True, default=utcnow, editable=False, help_text="When its bars are looked at, new ones or not."
    )
    looked = models.CharField(
        max_length=64, blank=True, default="", editable=False, help_text="What its series were at the last look."
    )
    stopped_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )

    class Meta:
        db_table = "live_adaptation"
        verbose_name = "live adaptation"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["strategy"], condition=Q(status="active"), name="live_adaptation_one"),
            models.CheckConstraint(
                condition=Q(status__in=AdaptationStatus.values), name="live_adaptation_status_known"
            ),
            models.CheckConstraint(condition=Q(mode__in=Mode.values), name="live_adaptation_mode_known"),
            models.CheckConstraint(
                condition=Q(max_param_change_pct__gt=0, max_param_change_pct__lte=100), name="live_adaptation_pct"
            ),
            models.CheckConstraint(
                condition=Q(status="active") | Q(stopped_at__isnull=False), name="live_adaptation_stopped_has_end"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-created_at", "-id"], name="live_adaptation_newest"),
            models.Index(fields=["created_by", "-created_at", "-id"], name="live_adaptation_owner"),
            models.Index(fields=["strategy"], name="live_adaptation_strategy"),
        ]

    def __str__(self) -> str:
        return f"adaptation {self.pk}"


class AdaptationRound(Entity):
    """One search for better parameters while it is under way; how it ended stands in its event.

    `job_id` is the plain id of an optimisation: that may be cleared away later, this stays.
    """

    adaptation = models.ForeignKey(LiveAdaptation, on_delete=models.CASCADE, related_name="rounds", db_index=False)
    trigger = models.CharField(max_length=13, choices=Trigger.choices)
    job_id = models.UUIDField(unique=True)
    live_params = models.JSONField(help_text="All parameters of the strategy when it began: candidate zero.")
    bar_time = models.DateTimeField(
        null=True, blank=True, help_text="The newest complete bar when it began: a cool-down counts from it."
    )
    actor_name = models.CharField(max_length=150, blank=True, default="")
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "adaptation_round"
        verbose_name = "round of an adaptation"
        verbose_name_plural = "rounds of adaptations"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            # A round never overlaps another of the same adaptation, whoever starts it.
            models.UniqueConstraint(
                fields=["adaptation"], condition=Q(ended_at__isnull=True), name="adaptation_round_one"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["adaptation", "-created_at"], name="adaptation_round_newest"),
        ]

    def __str__(self) -> str:
        return f"round {self.pk} of {self.adaptation_id}"


class AdaptationEvent(models.Model):
    """What happened to an adaptation. Written once; what follows from it is an event of its own that names it in `about`.

    `number` counts from 1 within the adaptation.
    """

    id = models.BigAutoField(primary_key=True)
    adaptation = models.ForeignKey(LiveAdaptation, on_delete=models.PROTECT, related_name="events", db_index=False)
    number = models.PositiveIntegerField()
    about = models.PositiveIntegerField(null=True, blank=True, help_text="The number of the event that it settles.")
    at = models.DateTimeField(default=utcnow)
    trigger = models.CharField(max_length=13, choices=Trigger.choices)
    status = models.CharField(max_length=11, choices=EventStatus.choices)
    round_id = models.UUIDField(null=True, blank=True)
    job_id = models.UUIDField(null=True, blank=True)
    live_params = models.JSONField(null=True, blank=True, help_text="The parameters before it.")
    proposed_params = models.JSONField(null=True, blank=True)
    applied_params = models.JSONField(
        null=True, blank=True, help_text="What the strategy decides by since; none: as before."
    )
    # Which versions of the strategy it went from and to, where it changed it.
    version_before = models.PositiveIntegerField(null=True, blank=True)
    version_after = models.PositiveIntegerField(null=True, blank=True)
    evidence = models.JSONField(default=dict)
    code = models.CharField(max_length=60, blank=True, default="")
    message = models.TextField(blank=True, default="", help_text="Why, in a sentence.")
    actor_name = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        db_table = "adaptation_event"
        verbose_name = "event of an adaptation"
        verbose_name_plural = "events of adaptations"
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["adaptation", "number"], name="adaptation_event_number"),
            # An open proposal is decided on once; what was applied is taken back once.
            models.UniqueConstraint(
                fields=["adaptation", "about"],
                condition=Q(status__in=sorted(SETTLES)),
                name="adaptation_event_settled_once",
            ),
            models.UniqueConstraint(
                fields=["adaptation", "about"],
                condition=Q(status="rolled_back"),
                name="adaptation_event_rolled_back_once",
            ),
            models.UniqueConstraint(fields=["round_id"], name="adaptation_event_of_round"),
            models.CheckConstraint(condition=Q(status__in=EventStatus.values), name="adaptation_event_status_known"),
            models.CheckConstraint(condition=Q(trigger__in=Trigger.values), name="adaptation_event_trigger_known"),
        ]

    def __str__(self) -> str:
        return f"event {self.number} of {self.adaptation_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("an event of an adaptation is written once; write another that names it in `about`")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("an event of an adaptation stays")


class RegimePoint(models.Model):
    """What was said of a bar when it was the newest: later bars change nothing of it."""

    id = models.BigAutoField(primary_key=True)
    adaptation = models.ForeignKey(
        LiveAdaptation, on_delete=models.CASCADE, related_name="regime_points", db_index=False
    )
    bar_time = models.DateTimeField(help_text="When the bar opened.")
    label = models.CharField(max_length=20, blank=True, default="", help_text="Empty while it warms up.")
    value = models.FloatField(null=True, blank=True, help_text="The detector's measure.")
    # The regime before, where this bar confirmed another one.
    changed_from = models.CharField(max_length=20, blank=True, default="")

    class Meta:
        db_table = "adaptation_regime"
        verbose_name = "regime of a bar"
        verbose_name_plural = "regimes of bars"
        ordering: ClassVar = ["adaptation", "bar_time"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["adaptation", "bar_time"], name="adaptation_regime_once"),
        ]

    def __str__(self) -> str:
        return f"{self.label or 'unknown'} at {self.bar_time}"


class AdaptationWatch(Entity):
    """What was promised of new parameters, held against the bars that came after, beside what the old ones would have made.

    Of an applied change `params` are live and `shadow_params` are the ones it replaced; of a proposal that waits or was
    only suggested `params` are the proposed ones and `shadow_params` those that are live.
    """

    adaptation = models.ForeignKey(LiveAdaptation, on_delete=models.CASCADE, related_name="watches", db_index=False)
    event_number = models.PositiveIntegerField()
    applied = models.BooleanField(help_text="Whether a broken promise takes the change back.")
    status = models.CharField(max_length=8, choices=WatchStatus.choices, default=WatchStatus.WATCHING)
    params = models.JSONField()
    shadow_params = models.JSONField()
    promise = models.JSONField(help_text="As `promising.Promise.as_dict` has it.")
    from_time = models.DateTimeField(help_text="The newest bar that was known then; the first one judged is the next.")
    seen_until = models.DateTimeField(null=True, blank=True, help_text="The newest bar that was judged.")
    bars = models.PositiveIntegerField(default=0)
    figures = models.JSONField(default=dict, help_text="Of both: return, Sharpe ratio, drawdown; and the floor by now.")
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "adaptation_watch"
        verbose_name = "watch over an adaptation"
        verbose_name_plural = "watches over adaptations"
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["adaptation", "event_number"], name="adaptation_watch_of_event"),
            models.CheckConstraint(condition=Q(status__in=WatchStatus.values), name="adaptation_watch_status_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["adaptation"], condition=Q(status="watching"), name="adaptation_watch_open"),
        ]

    def __str__(self) -> str:
        return f"watch over event {self.event_number} of {self.adaptation_id}"
