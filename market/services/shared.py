"""What importing a file, a vendor's bars and generated bars have in common: the report and the rows that they find or make."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market.models import BarImport, BarSeries, DataSource, Instrument
from market.options import MOST_SYMBOLS, ImportOptions
from market.problems import Problems
from market.sources import Source, SymbolFacts
from market.store import SAFE_SYMBOL
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339
from tradingsite.common.errors import FieldError, ValidationFailed


@dataclass
class Incoming:
    """Bars of one series on their way in; `lines` is None when they come from no file."""

    symbol: str
    adjustment: str
    columns: dict[str, NDArray[Any]]
    facts: SymbolFacts
    lines: NDArray[np.int64] | None = None


@dataclass
class Report:
    """What an import did, for people and programs."""

    rows: int = 0
    duplicates: int = 0
    rounded: int = 0
    filtered: int = 0
    series: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)

    def as_json(self) -> dict[str, Any]:
        total = {name: sum(row[name] for row in self.series) for name in ("added", "replaced", "unchanged")}
        return {
            "ok": not self.problems,
            "rows": self.rows,
            "duplicates": self.duplicates,
            "rounded": self.rounded,
            "filtered": self.filtered,
            **total,
            "series": self.series,
            "warnings": self.warnings,
            "problems": [problem.as_json() for problem in self.problems.sorted()],
            "problems_total": self.problems.total,
        }


def check_request(source: Source, symbols: Sequence[str], timeframe: str) -> None:
    errors = []
    if timeframe not in source.timeframes:
        names = ", ".join(source.timeframes)
        errors.append(FieldError("timeframe", "invalid_choice", f"{source.slug} has the timeframes {names}."))
    if not symbols:
        errors.append(FieldError("symbols", "required", f"{source.slug} lists no symbols: say which."))
    if len(symbols) > MOST_SYMBOLS:
        errors.append(FieldError("symbols", "too_many", f"At most {MOST_SYMBOLS} symbols at once."))
    listed = source.symbols()
    for index, symbol in enumerate(symbols):
        if not SAFE_SYMBOL.fullmatch(symbol):
            errors.append(FieldError(f"symbols/{index}", "invalid_symbol", f"{symbol[:40]!r} is no symbol."))
        elif listed and symbol not in listed:
            detail = f"{source.slug} has {', '.join(listed)}."
            errors.append(FieldError(f"symbols/{index}", "symbol_missing", detail))
    if errors:
        raise ValidationFailed(errors=errors)


def summary(record: BarImport) -> dict[str, Any]:
    names = ("ok", "rows", "added", "replaced", "unchanged", "problems_total")
    return {"source": record.source_slug, "filename": record.filename, **{n: record.report[n] for n in names}}


def source_row(wanted: DataSource, clock: str | None, report: Report) -> DataSource:
    row, made = DataSource.objects.get_or_create(
        slug=wanted.slug,
        defaults={
            "title": wanted.title,
            "kind": wanted.kind,
            "clock": wanted.clock,
            "generated": wanted.generated,
        },
    )
    if not made and clock is not None and row.clock != clock:
        report.problems.add(None, "clock", "contradiction", f"The source {row.slug} is {row.clock}, not {clock}.")
    return row


def series_facts(series: BarSeries, symbol: str, source: str) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "series_id": str(series.pk),
        "source": source,
        "timeframe": series.timeframe,
        "adjustment": series.adjustment,
        "version": series.version,
        "bars": series.bars_count,
        "first_at": rfc3339(series.first_at) if series.first_at else None,
        "last_at": rfc3339(series.last_at) if series.last_at else None,
    }


def instrument_row(
    actor: Actor, source: DataSource, incoming: Incoming, options: ImportOptions, report: Report
) -> Instrument:
    instrument: Instrument
    instrument, made = Instrument.objects.get_or_create(
        symbol=incoming.symbol,
        defaults={
            "name": incoming.facts.name,
            "exchange": incoming.facts.exchange,
            "currency": incoming.facts.currency,
            "asset_class": incoming.facts.asset_class,
            # Invented prices are read when someone asks for them, never by default.
            "default_source": None if source.generated else source,
            "created_by_id": actor.user_id,
        },
    )
    if not made and instrument.default_source_id is None and not source.generated:
        instrument.default_source = source
        instrument.save(update_fields=["default_source"])
    for name, asked in (("exchange", options.exchange), ("currency", options.currency)):
        has = getattr(instrument, name)
        if not made and asked is not None and has != asked:
            report.problems.add(None, name, "contradiction", f"{instrument.symbol} has the {name} {has}, not {asked}.")
    return instrument
