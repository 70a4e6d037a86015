"""The table of the faults says what was measured."""

from pathlib import Path

import pytest

from tests.faults.figures import Figures, add, percentile, read, table


@pytest.mark.parametrize(("part", "expected"), [(0.0, 1.0), (0.5, 10.0), (0.95, 19.0), (1.0, 20.0)])
def test_a_percentile_is_one_of_the_values_by_its_rank(part: float, expected: float) -> None:
    assert percentile([float(n) for n in range(20, 0, -1)], part) == expected


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_the_lines_of_all_scenarios_add_up_in_one_file(tmp_path: Path) -> None:
    told = [Figures("one", runs=3, kills=1, recoveries=[1.0, 2.0, 9.5], note="slow"), Figures("two", lost=4)]
    for line in told:
        add(line, tmp_path / "report")
    assert read(tmp_path / "report") == told
    head, first, second, note = table(told).splitlines()
    assert head.split()[:3] == ["scenario", "runs", "kills"]
    assert first.split() == ["one", "3", "1", "3", "2.0", "9.5", "9.5", "0", "0", "0", "0", "0", "s", "1.0"]
    assert second.split()[4:8] == ["-", "-", "-", "4"]
    assert note == "one: slow"


def test_a_run_that_stood_still_too_long_fails_its_scenario_by_the_machines_own_time() -> None:
    Figures("slow machine", recoveries=[19.0], slowness=2.0).assert_recovered()
    with pytest.raises(AssertionError, match=r"stood still for 19\.0 s"):
        Figures("slow desk", recoveries=[19.0]).assert_recovered()
