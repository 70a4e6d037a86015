"""Ids, times, decimals and errors: the small words that everything else is said with."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradingsite.common import clock
from tradingsite.common.decimals import decimal_string, to_decimal
from tradingsite.common.errors import FieldError, Unavailable, ValidationFailed
from tradingsite.common.ids import parse_uuid, uuid7


def test_ids_made_one_after_another_sort_in_that_order() -> None:
    ids = [uuid7() for _ in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_an_id_is_a_version_7_uuid_of_the_present_millisecond() -> None:
    made = uuid7()
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    age_s = clock.utcnow().timestamp() - (made.int >> 80) / 1000
    assert -1 < age_s < 5


def test_text_that_is_no_id_is_refused_by_the_name_of_its_field() -> None:
    with pytest.raises(ValidationFailed) as caught:
        parse_uuid("../../etc/passwd", "strategy_id")
    assert caught.value.errors == (FieldError("strategy_id", "invalid", "Must be a UUID."),)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**15), max_value=10**15))
def test_a_decimal_survives_the_way_out_and_in(number: Decimal) -> None:
    text = decimal_string(number)
    assert "e" not in text.lower()
    assert to_decimal(text) == number


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-inf", "1e30", "0.00000000001", "", "ten", 1.5, True, None, [], "0x10"]
)
def test_what_is_no_exact_amount_is_refused(value: object) -> None:
    with pytest.raises(ValidationFailed) as caught:
        to_decimal(value, "quantity")
    assert caught.value.errors[0].pointer == "quantity"


def test_a_time_is_written_in_utc_with_z_and_read_back() -> None:
    moment = datetime(2013, 3, 1, 9, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert clock.rfc3339(moment) == "2013-03-01T14:30:00Z"
    assert clock.parse_rfc3339("2013-03-01T14:30:00Z") == moment


@pytest.mark.parametrize("text", ["2013-03-01T14:30:00", "2013-03-01", "yesterday"])
def test_a_time_without_offset_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError):
        clock.parse_rfc3339(text)


def test_the_clock_stands_only_inside_the_block() -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    with clock.frozen(moment):
        assert clock.utcnow() == moment
    assert clock.utcnow() > moment


def test_an_unavailable_dependency_says_when_to_come_again() -> None:
    assert Unavailable("the database is away", retry_after_s=7).headers == {"Retry-After": "7"}
