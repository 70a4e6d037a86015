"""Entering generated series: their bars are computed when read, so only the rows are written."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from market.choices import Adjustment, ImportStatus
from market.events import BarsChanged, bars_changed
from market.models import BarImport, BarSeries, DataSource
from market.options import ImportOptions
from market.services.shared import Incoming, Report, check_request, instrument_row, series_facts, source_row, summary
from market.sources import SymbolFacts, demo, sources
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow


def demo_series_ensure(*, actor: Actor, symbol: str, timeframe: str) -> BarSeries:
    """Return the row of a generated series, made together with its instrument when missing.

    Raises:
        ValidationFailed: for a symbol that cannot be.
    """
    found = (
        BarSeries.objects.select_related("instrument", "source")
        .filter(instrument__symbol=symbol, source__slug=demo.SLUG, timeframe=timeframe)
        .first()
    )
    if found is not None:
        return found
    check_request(sources.get(demo.SLUG), (symbol,), timeframe)
    with transaction.atomic():
        series, _ = _demo_series(actor, _demo_source_row(), symbol, timeframe)
        return series


def demo_import(*, actor: Actor, symbols: Sequence[str], options: ImportOptions) -> BarImport:
    """Enter generated series: their bars are computed when read, so that only the rows are written."""
    report = Report()
    record = BarImport(
        source_slug=demo.SLUG,
        options=options.as_json(),
        status=ImportStatus.DONE.value,
        actor_name=actor.name,
        created_by_id=actor.user_id,
    )
    with transaction.atomic():
        source = _demo_source_row()
        for symbol in sorted(symbols):
            series, added = _demo_series(actor, source, symbol, options.timeframe)
            facts = series_facts(series, symbol, source.slug)
            report.rows += added
            report.series.append({**facts, "added": added, "replaced": 0, "unchanged": series.bars_count - added})
        report.warnings.append({"code": "generated", "detail": "These prices are invented by the desk's demo market."})
        record.report = report.as_json()
        record.save(force_insert=True)
        audit.record(actor=actor, action="bars.import", target=record, after=summary(record))
        changed = [row["symbol"] for row in report.series if row["added"]]
        if changed:
            bars_changed.send(BarImport, event=BarsChanged(changed))
    return record


def _demo_source_row() -> DataSource:
    known = sources.get(demo.SLUG)
    wanted = DataSource(slug=known.slug, title=known.title, kind=known.kind, clock=known.clock, generated=True)
    return source_row(wanted, None, Report())


def _demo_series(actor: Actor, source: DataSource, symbol: str, timeframe: str) -> tuple[BarSeries, int]:
    wall: datetime = utcnow()
    newest = demo.bars(symbol, timeframe, wall=wall, limit=1)
    facts = SymbolFacts(name=f"{symbol} (generated)")
    incoming = Incoming(symbol, Adjustment.NONE.value, newest.columns(), facts)
    instrument = instrument_row(actor, source, incoming, ImportOptions(), Report())
    series, _ = BarSeries.objects.get_or_create(
        instrument=instrument, source=source, timeframe=timeframe, adjustment=Adjustment.NONE.value
    )
    series = BarSeries.objects.lock().select_related("instrument", "source").get(pk=series.pk)
    added = max(0, newest.version - series.bars_count)
    if added:
        series.version = series.bars_count = newest.version
        series.first_at = demo.first_open(symbol)
        series.last_at = newest.opened_at(-1)
        series.fingerprint = f"generator-{demo.GENERATOR}"
        series.save()
    return series, added
