"""Bringing bars in, from a file or from a source by name: all of it or nothing, twice the same as once.

A file is read and judged before any transaction begins. The bars of all its symbols are then written to new version
files, and one transaction points the series to them. Every attempt leaves a BarImport row, the refused ones too.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import IO

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from market import store
from market.bars import from_ns, to_ns
from market.calendars import TradingCalendar, calendar
from market.choices import ImportStatus, OnConflict, SourceClock, SourceKind
from market.errors import ImportRejected
from market.events import BarsChanged, bars_changed
from market.merging import merge
from market.models import BarImport, BarSeries, DataSource, Instrument
from market.moments import MomentReader
from market.options import ImportOptions
from market.problems import SHOWN, Problems
from market.quality import CleanSeries, Rules, clean, gaps, jumps
from market.services.generated import demo_import
from market.services.shared import Incoming, Report, check_request, instrument_row, series_facts, source_row, summary
from market.sources import SymbolFacts, sources
from market.tables import Limits, read_table
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow
from tradingsite.common.contracts.registry import UnknownName
from tradingsite.common.errors import AppError, FieldError, ValidationFailed

LIMITS = Limits()


class _Refused(Exception):
    """Rolls the transaction back; the reasons are in the report."""


def bars_import_file(
    *, actor: Actor, file: IO[bytes], filename: str, options: ImportOptions, limits: Limits = LIMITS
) -> BarImport:
    """Import a CSV, gzipped CSV or Parquet file (seekable) and return the record of it with its report.

    Raises:
        ValidationFailed: for options that make no sense; nothing is recorded.
        ImportRejected: for a file with faults: each with its line, the first 100 of them; nothing was imported.
    """
    options.check(reserved=frozenset(source.slug for source in sources.all()))
    report = Report()
    digest = _digest(file, limits.file_bytes)
    table = read_table(file, mapping=options.mapping, limits=limits, problems=report.problems)
    incoming: list[Incoming] = []
    if not report.problems:
        exchanges = _exchanges(options)
        wall = to_ns(utcnow())

        def reader(symbol: str) -> MomentReader:
            known = calendar(exchanges.get(symbol) or options.exchange or "XNYS")
            return MomentReader(known, options.timeframe, options.zone, options.date_format, wall)

        rules = Rules(only=options.symbols, readers=reader, adjust=options.adjust_from is not None)
        cleaned = clean(table, rules, report.problems)
        report.rows, report.duplicates = cleaned.rows, cleaned.duplicates
        report.rounded, report.filtered = cleaned.rounded, cleaned.filtered
        incoming = [_from_file(symbol, series, options) for symbol, series in cleaned.series.items()]
    source = DataSource(
        slug=options.source,
        title=f"Imported files: {options.source}",
        kind=SourceKind.IMPORT.value,
        clock=options.clock or SourceClock.HISTORICAL.value,
    )
    return _carry_out(
        actor=actor,
        source=source,
        clock=options.clock,
        incoming=incoming,
        options=options,
        report=report,
        filename=_printable(filename),
        digest=digest,
    )


def bars_import_source(
    *, actor: Actor, source: str, symbols: Sequence[str] = (), timeframe: str = "1d", replace: bool = False
) -> BarImport:
    """Import bars from a source by name (`sample`, `demo`, `yahoo`) and return the record with its report.

    Args:
        symbols: empty takes all that the source lists.
        replace: take the source's figures where they differ from what is stored (vendors restate adjusted prices).

    Raises:
        ValidationFailed: for a source, symbol or timeframe that cannot be.
        SeriesUnknown, MissingExtra, VendorFailed: from the source; nothing was imported.
        ImportRejected: for bars that contradict stored ones.
    """
    try:
        known = sources.get(source)
    except UnknownName:
        names = ", ".join(each.slug for each in sources.all())
        raise ValidationFailed(errors=[FieldError("source", "invalid_choice", f"Must be one of {names}.")]) from None
    wanted = tuple(dict.fromkeys(symbols)) or known.symbols()
    check_request(known, wanted, timeframe)
    options = ImportOptions(
        source=source,
        timeframe=timeframe,
        symbols=wanted,
        on_conflict=(OnConflict.REPLACE if replace else OnConflict.ERROR).value,
    )
    if known.kind == SourceKind.DEMO:
        return demo_import(actor=actor, symbols=wanted, options=options)
    wall = utcnow()
    incoming = [
        Incoming(symbol, fetched.bars.adjustment, fetched.bars.columns(), fetched.facts)
        for symbol in wanted
        for fetched in known.fetch(symbol=symbol, timeframe=timeframe, start=None, wall=wall)
    ]
    report = Report(rows=sum(len(each.columns["time"]) for each in incoming))
    row = DataSource(slug=known.slug, title=known.title, kind=known.kind, clock=known.clock, generated=known.generated)
    return _carry_out(actor=actor, source=row, clock=known.clock, incoming=incoming, options=options, report=report)


def _from_file(symbol: str, series: CleanSeries, options: ImportOptions) -> Incoming:
    facts = SymbolFacts(name="", exchange=options.exchange or "XNYS", currency=options.currency or "USD")
    return Incoming(symbol, options.stored_adjustment, series.columns, facts, series.lines)


def _exchanges(options: ImportOptions) -> dict[str, str]:
    """Return the exchanges of the instruments that the desk knows, those of the file among them."""
    rows = Instrument.objects.all()
    if options.symbols:
        rows = rows.filter(symbol__in=options.symbols)
    return dict(rows.values_list("symbol", "exchange"))


def _carry_out(
    *,
    actor: Actor,
    source: DataSource,
    clock: str | None,
    incoming: Sequence[Incoming],
    options: ImportOptions,
    report: Report,
    filename: str = "",
    digest: str = "",
) -> BarImport:
    record = BarImport(
        source_slug=options.source,
        filename=filename,
        sha256=digest,
        options=options.as_json(),
        status=ImportStatus.DONE.value,
        actor_name=actor.name,
        created_by_id=actor.user_id,
    )
    try:
        with transaction.atomic():
            if not report.problems:
                row = source_row(source, clock, report)
                # One order for all importers, so that two of them cannot wait for each other.
                for each in sorted(incoming, key=lambda one: (one.symbol, one.adjustment)):
                    _put(actor, row, each, options, report)
            if report.problems:
                raise _Refused
            record.report = report.as_json()
            record.save(force_insert=True)
            audit.record(actor=actor, action="bars.import", target=record, after=summary(record))
            changed = sorted({row["symbol"] for row in report.series if row["added"] or row["replaced"]})
            if changed:
                bars_changed.send(BarImport, event=BarsChanged(changed))
    except _Refused:
        report.series.clear()
        record.status = ImportStatus.FAILED.value
        record.report = report.as_json()
        with transaction.atomic():
            record.save(force_insert=True)
            audit.record(actor=actor, action="bars.import_refused", target=record, after=summary(record))
        raise _rejected(record, report.problems) from None
    return record


def _rejected(record: BarImport, problems: Problems) -> AppError:
    more = f", of which the first {SHOWN} are listed" if problems.total > SHOWN else ""
    return ImportRejected(
        f"Nothing was imported: the file has {problems.total} fault{'s'[: problems.total != 1]}{more}.",
        errors=[problem.field_error() for problem in problems.sorted()],
        extra={"errors_total": problems.total, "import_id": str(record.pk)},
    )


def _put(actor: Actor, source: DataSource, incoming: Incoming, options: ImportOptions, report: Report) -> None:
    instrument = instrument_row(actor, source, incoming, options, report)
    series, _ = BarSeries.objects.get_or_create(
        instrument=instrument, source=source, timeframe=options.timeframe, adjustment=incoming.adjustment
    )
    series = BarSeries.objects.lock().get(pk=series.pk)
    folder = store.series_folder(
        source=source.slug, symbol=instrument.symbol, timeframe=series.timeframe, adjustment=series.adjustment
    )
    old = store.read_version(folder, series.version) if series.version else None
    merged = merge(old, incoming.columns)
    if len(merged.conflicts) and options.on_conflict != OnConflict.REPLACE:
        _conflicts(incoming, merged.conflicts, report)
        return
    # Once a fault is found nothing will be kept; the rest is only read on to name its faults too.
    if merged.changed and not report.problems:
        series.version = store.write_version(folder, merged.columns, at_least=series.version + 1)
        times = merged.columns["time"]
        series.first_at, series.last_at = from_ns(int(times[0])), from_ns(int(times[-1]))
        series.bars_count = len(times)
        series.fingerprint = store.fingerprint(merged.columns)
        series.save()
    report.series.append(
        {
            **series_facts(series, instrument.symbol, source.slug),
            "added": merged.added,
            "replaced": len(merged.conflicts),
            "unchanged": merged.unchanged,
        }
    )
    _warn(incoming, options.timeframe, calendar(instrument.exchange), report)


def _conflicts(incoming: Incoming, times: NDArray[np.int64], report: Report) -> None:
    lines: Mapping[int, int] = {}
    if incoming.lines is not None:
        lines = dict(zip(incoming.columns["time"].tolist(), incoming.lines.tolist(), strict=True))
    for time in times.tolist():
        detail = f"{incoming.symbol} at {rfc3339(from_ns(time))} is stored with other figures; on_conflict=replace takes these."
        report.problems.add(lines.get(time), "time", "conflicts_with_stored", detail)


def _warn(incoming: Incoming, timeframe: str, known: TradingCalendar, report: Report) -> None:
    missing = gaps(incoming.columns["time"], timeframe, known)
    where = {"symbol": incoming.symbol, "adjustment": incoming.adjustment}
    if missing is not None:
        detail = f"Bars are missing on {known.code} trading days between the first and the last bar."
        report.warnings.append({"code": "gap", **where, "detail": detail, **missing})
    jumped = jumps(incoming.columns)
    if jumped:
        detail = "The close more than doubled or halved from one bar to the next: perhaps an unadjusted split."
        report.warnings.append({"code": "jump", **where, "detail": detail, "dates": jumped})


def _digest(file: IO[bytes], limit: int) -> str:
    file.seek(0)
    digest, read = hashlib.sha256(), 0
    while (block := file.read(1 << 20)) and read <= limit:
        read += len(block)
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def _printable(name: str) -> str:
    return "".join(char for char in name if char.isprintable())[-200:]
