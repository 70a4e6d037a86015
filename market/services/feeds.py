"""Bringing news and fundamentals in from a file: all of it or nothing, twice the same as once.

A file is read and judged before any transaction begins. Every attempt leaves a FeedImport row, the refused ones too.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import IO, Any

from django.db import transaction

from market.choices import FeedKind, ImportStatus
from market.errors import ImportRejected
from market.feed_files import FEED_LIMITS, FUNDAMENTALS, NEWS, Column, FeedRow, read_feed
from market.feed_models import FeedImport, Fundamental, NewsItem
from market.problems import SHOWN, Problems
from market.tables import Limits
from tradingsite.common import audit
from tradingsite.common.actor import Actor
from tradingsite.common.clock import rfc3339, utcnow

_AT_ONCE = 500
_SYMBOLS_SHOWN = 100


def news_import(*, actor: Actor, file: IO[bytes], filename: str, limits: Limits = FEED_LIMITS) -> FeedImport:
    """Import news from a CSV or JSON Lines file (seekable), plain or gzipped; an item that is there changes nothing.

    Raises:
        ImportRejected: for a file with faults: each with its line and column, the first 100 of them; nothing was
            imported.
    """
    incoming = _read(actor, FeedKind.NEWS, file, filename, NEWS, limits)
    incoming.refuse()
    items = {each.digest: each for each in (_news_item(row.values) for row in incoming.rows)}
    with transaction.atomic():
        there = {
            digest
            for part in _parts(list(items))
            for digest in NewsItem.objects.filter(digest__in=part).values_list("digest", flat=True)
        }
        fresh = [item for digest, item in items.items() if digest not in there]
        NewsItem.objects.bulk_create(fresh, batch_size=_AT_ONCE, ignore_conflicts=True)
        # Counted afterwards: another import may have brought the same item meanwhile.
        added = sum(NewsItem.objects.filter(pk__in=part).count() for part in _parts([item.pk for item in fresh]))
        return incoming.done(added)


def fundamentals_import(*, actor: Actor, file: IO[bytes], filename: str, limits: Limits = FEED_LIMITS) -> FeedImport:
    """Import reported figures from a CSV or JSON Lines file (seekable), plain or gzipped.

    A figure is known by symbol, metric, as_of and published_at. The same value again changes nothing.

    Raises:
        ImportRejected: for a file with faults, another value for a known figure among them: a restatement is published
            at a moment of its own. Each fault has its line and column; nothing was imported.
    """
    incoming = _read(actor, FeedKind.FUNDAMENTALS, file, filename, FUNDAMENTALS, limits)
    figures: dict[tuple[Any, ...], tuple[int, Fundamental]] = {}
    for row in incoming.rows:
        figure = Fundamental(**row.values)
        line, first = figures.setdefault(_key(figure), (row.line, figure))
        _compare(row.line, figure, first, f"line {line}", incoming.problems)
    incoming.refuse()
    try:
        with transaction.atomic():
            rows = [figure for _, figure in figures.values()]
            Fundamental.objects.bulk_create(rows, batch_size=_AT_ONCE, ignore_conflicts=True)
            stored = {_key(each): each for each in _stored(rows)}
            for key, (line, figure) in figures.items():
                _compare(line, figure, stored[key], "the stored one", incoming.problems)
            if incoming.problems:
                raise _Refused
            return incoming.done(sum(stored[key].pk == figure.pk for key, (_, figure) in figures.items()))
    except _Refused:
        raise incoming.refused() from None


class _Refused(Exception):
    """Rolls the transaction back; the reasons are in the problems."""


@dataclass
class _Incoming:
    """A file that was read, and the record of its import."""

    actor: Actor
    record: FeedImport
    rows: Sequence[FeedRow]
    problems: Problems = field(default_factory=Problems)

    def done(self, added: int) -> FeedImport:
        """Write the record down, in the caller's transaction, and return it."""
        self._save(ImportStatus.DONE, added)
        audit.record(actor=self.actor, action=f"{self.record.kind}.import", target=self.record, after=self._summary())
        return self.record

    def refuse(self) -> None:
        """Raise ImportRejected when the file has faults."""
        if self.problems:
            raise self.refused()

    def refused(self) -> ImportRejected:
        """Write the refusal down and return it as an error."""
        with transaction.atomic():
            self._save(ImportStatus.FAILED, 0)
            audit.record(
                actor=self.actor, action=f"{self.record.kind}.import_refused", target=self.record, after=self._summary()
            )
        total = self.problems.total
        more = f", of which the first {SHOWN} are listed" if total > SHOWN else ""
        return ImportRejected(
            f"Nothing was imported: the file has {total} fault{'s'[: total != 1]}{more}.",
            errors=[problem.field_error() for problem in self.problems.sorted()],
            extra={"errors_total": total, "import_id": str(self.record.pk)},
        )

    def _save(self, status: ImportStatus, added: int) -> None:
        symbols = sorted({row.values["symbol"] for row in self.rows})
        self.record.status = status.value
        self.record.report = {
            "ok": not self.problems,
            "rows": len(self.rows),
            "added": added,
            "unchanged": 0 if self.problems else len(self.rows) - added,
            "symbols": symbols[:_SYMBOLS_SHOWN],
            "symbols_total": len(symbols),
            "problems": [problem.as_json() for problem in self.problems.sorted()],
            "problems_total": self.problems.total,
        }
        self.record.save(force_insert=True)

    def _summary(self) -> dict[str, Any]:
        names = ("ok", "rows", "added", "unchanged", "problems_total")
        return {"filename": self.record.filename, **{name: self.record.report[name] for name in names}}


def _read(
    actor: Actor, kind: FeedKind, file: IO[bytes], filename: str, columns: tuple[Column, ...], limits: Limits
) -> _Incoming:
    problems = Problems()
    rows = read_feed(file, columns, wall=utcnow(), limits=limits, problems=problems)
    record = FeedImport(
        kind=kind.value,
        filename="".join(character for character in filename if character.isprintable())[-200:],
        sha256=_digest(file, limits.file_bytes),
        actor_name=actor.name,
        created_by_id=actor.user_id,
    )
    return _Incoming(actor=actor, record=record, rows=rows, problems=problems)


def _digest(file: IO[bytes], limit: int) -> str:
    file.seek(0)
    digest, read = hashlib.sha256(), 0
    while (block := file.read(1 << 20)) and read <= limit:
        read += len(block)
        digest.update(block)
    return digest.hexdigest()


def _news_item(values: Mapping[str, Any]) -> NewsItem:
    told = [_plain(values.get(name, "")) for name in ("symbol", "published_at", "source", "headline", "body", "url")]
    digest = hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()
    return NewsItem(digest=digest, **values)


def _plain(value: Any) -> str:
    return rfc3339(value) if isinstance(value, datetime) else str(value)


def _key(figure: Fundamental) -> tuple[str, str, date, datetime]:
    return figure.symbol, figure.metric, figure.as_of, figure.published_at


def _compare(line: int, figure: Fundamental, other: Fundamental, where: str, problems: Problems) -> None:
    if (figure.value, figure.unit) != (other.value, other.unit):
        detail = (
            f"{figure.symbol} {figure.metric} of {figure.as_of} differs from {where}, published at the same moment; give a "
            "restatement its own published_at."
        )
        problems.add(line, "value", "conflicts_with_stored", detail)


def _stored(rows: Sequence[Fundamental]) -> Iterator[Fundamental]:
    moments = [row.published_at for row in rows]
    wanted = {_key(row) for row in rows}
    for part in _parts(sorted({row.symbol for row in rows})):
        near = Fundamental.objects.filter(symbol__in=part, published_at__range=(min(moments), max(moments)))
        yield from (row for row in near.iterator(chunk_size=2_000) if _key(row) in wanted)


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))
