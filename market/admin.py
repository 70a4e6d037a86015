"""The market in the admin: instruments are edited through the services, bars come through the import, history stays."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin

from market import services
from market.calendars import calendar
from market.choices import Adjustment, OnConflict, SourceClock, Timeframe
from market.errors import CalendarUnknown
from market.models import BarImport, BarSeries, DataSource, FeedImport, Fundamental, Instrument, NewsItem
from market.options import ImportOptions
from market.services.instruments import EDITABLE
from market.sources import sources
from tradingsite.common.console import LedgerAdmin, actor_of
from tradingsite.common.errors import AppError
from tradingsite.common.roles import Role


class InstrumentForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    def clean_exchange(self) -> str:
        code: str = self.cleaned_data["exchange"]
        try:
            calendar(code)
        except CalendarUnknown as error:
            raise forms.ValidationError(error.detail) from None
        return code


@admin.register(Instrument)
class InstrumentAdmin(ModelAdmin):
    form = InstrumentForm
    list_display: ClassVar = ["symbol", "name", "exchange", "currency", "asset_class", "default_source", "enabled"]
    list_filter: ClassVar = ["enabled", "asset_class", "exchange"]
    search_fields: ClassVar = ["symbol", "name"]
    list_select_related: ClassVar = ["default_source"]
    readonly_fields: ClassVar = ["created_at", "updated_at", "version"]
    list_per_page = 50

    def get_readonly_fields(self, request: HttpRequest, obj: Instrument | None = None) -> list[str]:
        # A symbol names files and orders: it is chosen once.
        return [*self.readonly_fields, *(["symbol"] if obj else [])]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: Instrument, form: "forms.ModelForm[Instrument]", change: bool
    ) -> None:
        fields = {name: form.cleaned_data[name] for name in EDITABLE if name in form.cleaned_data}
        actor = actor_of(request)
        if change:
            services.instrument_update(actor=actor, instrument=obj, changes=fields)
            return
        made = services.instrument_create(actor=actor, symbol=form.cleaned_data["symbol"], fields=fields)
        # The admin goes on with its own object: it must be the row that now exists.
        obj.pk, obj.version = made.pk, made.version
        obj._state.adding = False


@admin.register(DataSource)
class DataSourceAdmin(LedgerAdmin):
    list_display: ClassVar = ["slug", "title", "kind", "clock", "generated"]


@admin.register(BarSeries)
class BarSeriesAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "instrument",
        "source",
        "timeframe",
        "adjustment",
        "bars_count",
        "first_at",
        "last_at",
        "version",
        "generated",
    ]
    list_filter: ClassVar = ["source", "timeframe", "adjustment"]
    search_fields: ClassVar = ["instrument__symbol"]
    list_select_related: ClassVar = ["instrument", "source"]

    @admin.display(boolean=True, description="generated")
    def generated(self, series: BarSeries) -> bool:
        return series.source.generated


class ImportForm(forms.Form):
    """A file, or a source by name; the same options as the API and the command."""

    file = forms.FileField(required=False, help_text="CSV, gzipped CSV or Parquet.")
    from_source = forms.ChoiceField(required=False, label="Or from", help_text="A source that is asked by name.")
    symbols = forms.CharField(required=False, help_text="With commas between; empty takes all.")
    timeframe = forms.ChoiceField(choices=Timeframe.choices, initial=Timeframe.D1)
    source = forms.SlugField(initial="import", label="Store as source", help_text="For files.")
    clock = forms.ChoiceField(choices=[("", "as it is"), *SourceClock.choices], required=False)
    adjustment = forms.ChoiceField(choices=[("", "by the file"), *Adjustment.choices], required=False)
    adjust_from = forms.ChoiceField(choices=[("", "as they are"), ("adj_close", "adj close / close")], required=False)
    mapping = forms.JSONField(required=False, help_text='Such as {"close": "Adj Close"}.')
    tz = forms.CharField(required=False, label="Time zone", help_text="Of times without an offset.")
    date_format = forms.CharField(required=False, help_text="Such as %d.%m.%Y.")
    exchange = forms.CharField(required=False, max_length=12)
    currency = forms.CharField(required=False, max_length=3)
    on_conflict = forms.ChoiceField(choices=OnConflict.choices)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = [(source.slug, source.title) for source in sources.all()]
        self.fields["from_source"].choices = [("", "a file"), *named]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if bool(data.get("file")) == bool(data.get("from_source")):
            raise forms.ValidationError("Choose a file or a source, one of the two.")
        mapping = data.get("mapping") or {}
        if not isinstance(mapping, dict) or not all(isinstance(header, str) for header in mapping.values()):
            self.add_error("mapping", "Must map the desk's columns to headers of the file.")
        return data

    def symbol_list(self) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.cleaned_data["symbols"].split(",") if part.strip())

    def options(self) -> ImportOptions:
        names = (
            "source",
            "clock",
            "timeframe",
            "adjustment",
            "adjust_from",
            "exchange",
            "currency",
            "tz",
            "date_format",
        )
        given: dict[str, Any] = {name: self.cleaned_data[name] or None for name in names}
        return ImportOptions(
            **given,
            symbols=self.symbol_list(),
            mapping=self.cleaned_data["mapping"] or {},
            on_conflict=self.cleaned_data["on_conflict"],
        )


@admin.register(BarImport)
class BarImportAdmin(LedgerAdmin):
    list_display: ClassVar = [
        "created_at",
        "source_slug",
        "filename",
        "status",
        "rows",
        "added",
        "faults",
        "actor_name",
    ]
    list_filter: ClassVar = ["status", "source_slug"]
    search_fields: ClassVar = ["filename", "actor_name"]
    change_list_template = "market/admin/imports.html"

    @admin.display(description="rows")
    def rows(self, record: BarImport) -> Any:
        return record.report.get("rows")

    @admin.display(description="bars added")
    def added(self, record: BarImport) -> Any:
        return record.report.get("added")

    @admin.display(description="faults")
    def faults(self, record: BarImport) -> Any:
        return record.report.get("problems_total")

    def get_urls(self) -> list[URLPattern]:
        own = path("new/", self.admin_site.admin_view(self.import_view), name="market_barimport_new")
        return [own, *super().get_urls()]

    def import_view(self, request: HttpRequest) -> HttpResponse:
        actor = actor_of(request)
        if not actor.may(Role.TRADER):
            raise DjangoPermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None)
        problems: list[str] = []
        if request.method == "POST" and form.is_valid():
            try:
                done = self._import(request, form)
            except AppError as error:
                problems = [problem.detail for problem in error.errors] or [error.detail]
                form.add_error(None, error.detail if error.extra else error.title)
            else:
                messages.success(
                    request, f"{done.report['added']} bars were added, {done.report['unchanged']} were there."
                )
                return HttpResponseRedirect(reverse("admin:market_barimport_change", args=[done.pk]))
        context = {
            **self.admin_site.each_context(request),
            "title": "Import bars",
            "opts": self.model._meta,
            "form": form,
            "problems": problems,
        }
        status = 400 if request.method == "POST" else 200
        return TemplateResponse(request, "market/admin/import_form.html", context, status=status)

    def _import(self, request: HttpRequest, form: ImportForm) -> BarImport:
        upload = form.cleaned_data["file"]
        if upload is not None:
            return services.bars_import_file(
                actor=actor_of(request), file=upload.file, filename=upload.name, options=form.options()
            )
        return services.bars_import_source(
            actor=actor_of(request),
            source=form.cleaned_data["from_source"],
            symbols=form.symbol_list(),
            timeframe=form.cleaned_data["timeframe"],
            replace=form.cleaned_data["on_conflict"] == OnConflict.REPLACE,
        )


@admin.register(NewsItem)
class NewsItemAdmin(LedgerAdmin):
    list_display: ClassVar = ["published_at", "symbol", "source", "headline", "imported_at"]
    search_fields: ClassVar = ["symbol", "headline"]


@admin.register(Fundamental)
class FundamentalAdmin(LedgerAdmin):
    list_display: ClassVar = ["published_at", "symbol", "metric", "as_of", "value", "unit"]
    list_filter: ClassVar = ["metric"]
    search_fields: ClassVar = ["symbol", "metric"]


@admin.register(FeedImport)
class FeedImportAdmin(LedgerAdmin):
    list_display: ClassVar = ["created_at", "kind", "filename", "status", "actor_name"]
    list_filter: ClassVar = ["kind", "status"]
    search_fields: ClassVar = ["filename", "actor_name"]
