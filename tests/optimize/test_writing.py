"""Answers written as JSON by hand read back as the very figures."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimize.writing import Written, columns_of, figures, json_of, listed, records


@given(st.lists(st.floats(), max_size=20))
def test_figures_read_back_as_the_same_numbers_of_the_same_type(values: list[float]) -> None:
    back = json.loads(listed(figures(np.array(values, dtype=np.float64))))

    assert [repr(value) for value in back] == [repr(value if math.isfinite(value) else None) for value in values]


def test_whole_numbers_and_truth_keep_their_types() -> None:
    assert figures(np.array([1, -2])) == ["1", "-2"]
    assert figures(np.array([True, False])) == ["true", "false"]
    assert figures(np.array([1.0, -0.0, 1e16])) == ["1.0", "-0.0", "1e+16"]


def test_columns_written_together_are_written_as_each_by_itself() -> None:
    table = {
        "whole": np.array([1, 2]),
        "first": np.array([0.1, np.nan]),
        "told": np.array([True, False]),
        "second": np.array([1e-7, 3.0]),
    }

    assert list(columns_of(table).items()) == [(name, figures(values)) for name, values in table.items()]
    assert columns_of({"whole": table["whole"]}) == {"whole": ["1", "2"]}


def test_rows_are_what_python_would_write_of_them() -> None:
    text = listed(records({'100 % "sure"': figures(np.array([0.5, np.nan])), "at": ["1", "2"]}))

    assert text == json.dumps([{'100 % "sure"': 0.5, "at": 1}, {'100 % "sure"': None, "at": 2}])


def test_written_parts_stand_where_they_were_put_and_other_text_is_left_alone() -> None:
    answer = {"first": Written("[1]"), "text": 'a "\x00" b', "inner": [Written("{}"), "x"], "last": Written("2.0")}

    assert json.loads(json_of(answer)) == {"first": [1], "text": 'a "\x00" b', "inner": [{}, "x"], "last": 2.0}


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        json_of({"value": math.nan})
    with pytest.raises(TypeError, match="set is no JSON"):
        json_of({"value": {1}})
    with pytest.raises(ValueError, match="no database takes"):
        json_of({"value": "\x00"})
