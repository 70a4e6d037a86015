"""Finding the series that many watchers ask for, at once."""

from collections.abc import Collection

from market.errors import SeriesUnknown
from market.models import BarSeries, Instrument
from market.selectors import SeriesAsked, series_chosen


def series_asked(asked: Collection[SeriesAsked]) -> dict[SeriesAsked, BarSeries | SeriesUnknown]:
    """Return what `series_get` would return or raise for each, with two queries for all of them."""
    rows: dict[tuple[str, str], list[BarSeries]] = {}
    found = BarSeries.objects.select_related("instrument__default_source", "source").filter(
        instrument__symbol__in={each.symbol for each in asked}, timeframe__in={each.timeframe for each in asked}
    )
    # Hundreds of rows every two seconds, of which most columns would be read for nothing.
    for row in found.only(
        "timeframe", "adjustment", "version", "last_at", "instrument__symbol", "instrument__exchange",
        "instrument__default_source__slug", "source__slug", "source__kind", "source__clock", "source__generated",
    ):  # fmt: skip
        rows.setdefault((row.instrument.symbol, row.timeframe), []).append(row)
    without = {each.symbol for each in asked if each.source is None and (each.symbol, each.timeframe) not in rows}
    defaults = dict(
        Instrument.objects.filter(symbol__in=without).values_list("symbol", "default_source__slug") if without else ()
    )
    answers: dict[SeriesAsked, BarSeries | SeriesUnknown] = {}
    for each in asked:
        there = rows.get((each.symbol, each.timeframe), [])
        default = defaults.get(each.symbol)
        if there:
            default = there[0].instrument.default_source_slug
        try:
            chosen = series_chosen(each, there, default)
        except SeriesUnknown as error:
            answers[each] = error
        else:
            names = "/".join(filter(None, (each.source or default, each.timeframe, each.adjustment)))
            answers[each] = chosen or SeriesUnknown(f"{each.symbol} has no series {names}. Import bars for it.")
    return answers
