"""The geometry of drawn charts: everything stays inside, bands cover the whole width, and nothing unknown is drawn."""

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from optimize.pages import drawing

VALUES = st.lists(st.one_of(st.none(), st.floats(allow_infinity=True, allow_nan=True, width=32)), max_size=60)


@given(st.lists(st.sampled_from(["", "calm", "turbulent"]), max_size=80))
def test_bands_lie_side_by_side_over_the_whole_width(labels: list[str]) -> None:
    found = drawing.bands(labels)
    assert [band.label for band in found] == [
        label for place, label in enumerate(labels) if place == 0 or labels[place - 1] != label
    ]
    edge = 0.0
    for band in found:
        assert math.isclose(band.left, edge, abs_tol=0.01)
        edge = band.left + band.width
    assert math.isclose(edge, 100.0 if labels else 0.0, abs_tol=0.01)


@given(VALUES)
def test_a_line_stays_in_its_box_and_has_a_gap_where_nothing_is_known(values: list[float | None]) -> None:
    found = drawing.line(values)
    known = [value is not None and math.isfinite(value) for value in values]
    if sum(known) < 2:
        assert found is None
        return
    assert found is not None
    points = [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", found.path)]
    assert len(points) == sum(known)
    assert all(0 <= x <= drawing.BOX_WIDTH and 0 <= y <= drawing.BOX_HEIGHT for x, y in points)
    runs = sum(now and not before for before, now in zip([False, *known], known, strict=False))
    assert found.path.count("M") == runs


def test_a_long_line_is_thinned_and_keeps_its_end() -> None:
    found = drawing.line([float(place) for place in range(5_000)])
    assert found is not None
    assert found.path.count("L") <= drawing.POINTS_MAX + 1
    assert found.path.endswith(f"L999.9 {drawing.MARGIN:.2f}")
    assert (found.low, found.high) == (0.0, 4_999.0)


def test_higher_values_are_nearer_to_the_top_and_what_lies_outside_is_at_the_edge() -> None:
    heights = [drawing.height(value, 0.0, 10.0) for value in (-5.0, 0.0, 5.0, 10.0, 15.0)]
    assert heights == [94.0, 94.0, 50.0, 6.0, 6.0]
    assert drawing.height(3.0, 3.0, 3.0) == 50.0


def test_marks_that_would_overlap_are_numbered_and_not_shown() -> None:
    assert [(mark.number, mark.shown) for mark in drawing.marks([0, 1, 10, 50], 100)] == [
        (1, True), (2, False), (3, True), (4, True),
    ]  # fmt: skip
