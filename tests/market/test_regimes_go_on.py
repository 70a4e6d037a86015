"""What was said of a bar stays said: regimes go on from it, whatever became of the bars that it was said of."""

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from market.bars import Bars, from_ns, to_ns
from market.calendars import calendar
from market.regimes import UNKNOWN, Detector, Regimes, Told, detect, detect_on
from market.timeframes import LENGTH_S, bar_ends, length_ns, next_end
from tests.market.test_regimes import SMALL, market, noise

QUICK = [which for which in SMALL if which.kind != "hmm"]  # learning models takes a moment
STEPS = np.where((np.arange(300) // 70) % 2, 0.03, 0.008)


def told_by(found: Regimes, dwell: int) -> Told:
    """Return what `found` said last, as somebody knows it who kept the newest `dwell` + 1 of its bars."""
    kept = found.state[-(dwell + 1) :]
    lasted = len(list(itertools.takewhile(lambda state: state == kept[-1], kept[::-1])))
    return Told(int(found.time[-1]), found.label(), lasted)


def together(parts: list[Regimes]) -> list[int]:
    return [int(state) for part in parts for state in part.state]


@given(seed=st.integers(0, 10_000), cuts=st.sets(st.integers(1, 299), max_size=4), which=st.sampled_from(QUICK))
@example(seed=1, cuts={150, 151}, which=SMALL[-1])
@hypothesis_settings(max_examples=40, deadline=None)
def test_going_on_from_any_bars_says_the_same_as_looking_at_all_at_once(
    seed: int, cuts: set[int], which: Detector
) -> None:
    bars = market(noise(seed, 300, deviation=STEPS))
    edges = [*sorted(cuts), 300]
    parts = [detect(bars.slice(0, edges[0]), which)]
    for edge in edges[1:]:
        kept = Regimes(
            which.kind, which.words, bars.time[: len(together(parts))], np.empty(0), np.array(together(parts))
        )
        parts.append(detect_on(bars.slice(0, edge), which, told_by(kept, which.dwell)))
    assert together(parts) == detect(bars, which).state.tolist()


@given(seeds=st.lists(st.integers(0, 10_000), min_size=2, max_size=5), which=st.sampled_from(QUICK))
@hypothesis_settings(max_examples=20, deadline=None)
def test_no_regime_is_cut_short_though_the_bars_before_it_are_revised_at_every_look(
    seeds: list[int], which: Detector
) -> None:
    said: list[int] = []
    times = market(noise(0, 300)).time
    for number, edge in enumerate(range(120, 301, 20)):
        # Another history each time, and one that begins elsewhere.
        revised = market(noise(seeds[number % len(seeds)] + number, 300, deviation=np.roll(STEPS, 31 * number)))
        seen = revised.slice(7 * number, edge)
        if not said:
            said = [UNKNOWN] * (7 * number) + detect(seen, which).state.tolist()
            continue
        kept = Regimes(which.kind, which.words, times[: len(said)], np.empty(0), np.array(said))
        said += detect_on(seen, which, told_by(kept, which.dwell)).state.tolist()
    assert len(said) == 300
    changes = np.flatnonzero(np.diff(np.array(said), prepend=UNKNOWN))
    assert all(later - earlier >= which.dwell for earlier, later in itertools.pairwise(changes))


def test_without_what_was_told_the_same_looks_flap() -> None:
    which, said = SMALL[0], []
    for number, edge in enumerate(range(120, 301, 20)):
        revised = market(noise(number, 300, deviation=np.roll(STEPS, 31 * number))).slice(7 * number, edge)
        said += detect(revised, which).state.tolist()[-20:]
    changes = np.flatnonzero(np.diff(np.array(said)))
    assert any(later - earlier < which.dwell for earlier, later in itertools.pairwise(changes))


def test_where_nothing_is_new_nothing_is_said() -> None:
    bars = market(noise(1, 200))
    found = detect_on(bars, SMALL[0], Told(int(bars.time[-1]), "calm", 3))
    assert (len(found.time), len(found.state), found.changes()) == (0, 0, [])


@given(
    code=st.sampled_from(["XNYS", "24/7", "XLON"]),
    timeframe=st.sampled_from(sorted(LENGTH_S)),
    second=st.integers(0, 300 * 86_400),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_the_next_end_is_that_of_the_first_bar_that_has_not_ended(code: str, timeframe: str, second: int) -> None:
    known, moment = calendar(code), to_ns(datetime(2024, 3, 1, tzinfo=UTC) + timedelta(seconds=second))
    near = slice(*np.searchsorted(known.opens, [moment - 20 * length_ns("1d"), moment + 20 * length_ns("1d")]))
    length = length_ns(timeframe)
    opened = np.concatenate(
        [
            np.array([a]) if timeframe == "1d" else np.arange(a, b, length)
            for a, b in zip(known.opens[near], known.closes[near], strict=True)
        ]
    )
    ends = bar_ends(opened, timeframe, known)
    assert next_end(moment, timeframe, known) == int(ends[np.searchsorted(ends, moment, side="right")])


def test_beyond_the_calendar_the_next_end_is_a_length_away() -> None:
    known = calendar("XNYS")
    last = from_ns(int(known.closes[-1])) + timedelta(days=1)
    assert next_end(to_ns(last), "1h", known) == to_ns(last + timedelta(hours=1))


def test_a_series_without_bars_says_nothing_further() -> None:
    empty = Bars.of({name: np.empty(0) for name in ("time", "open", "high", "low", "close", "volume")})
    assert len(detect_on(empty, SMALL[0], Told(5, None, 0)).state) == 0
