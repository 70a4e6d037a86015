"""The tables of the workers' clock and results, in the look of the rest of the admin."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat import admin as beat
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from django_celery_results import admin as results
from django_celery_results.models import GroupResult, TaskResult
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from tradingsite.common.console import LedgerAdmin

# Groups of tasks are not used here: what fans out is gathered in the database.
admin.site.unregister(GroupResult)
for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, ClockedSchedule, SolarSchedule, TaskResult):
    admin.site.unregister(model)


@admin.register(TaskResult)
class TaskResultAdmin(LedgerAdmin, results.TaskResultAdmin):
    list_filter = ("status", "worker")


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    pass


class PeriodicTaskForm(beat.PeriodicTaskForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(beat.PeriodicTaskAdmin, ModelAdmin):
    form = PeriodicTaskForm
    # Its own template carries an inline script, which the policy refuses.
    change_form_template = None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # The entry of a schedule only shows it; a change here would be overwritten unseen.
        return not _of_schedule(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not _of_schedule(obj) and super().has_delete_permission(request, obj)


def _of_schedule(task: PeriodicTask | None) -> bool:
    return task is not None and task.task == "scheduler.tick"


@admin.register(IntervalSchedule, SolarSchedule)
class PlainScheduleAdmin(ModelAdmin):
    pass


class TasksInline(beat.PeriodicTaskInline):
    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        rows: QuerySet[PeriodicTask] = super().get_queryset(request)
        # The name of a task tells its schedule.
        return rows.select_related("crontab", "clocked")


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(beat.CrontabScheduleAdmin, ModelAdmin):
    inlines = (TasksInline,)


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(beat.ClockedScheduleAdmin, ModelAdmin):
    inlines = (TasksInline,)
