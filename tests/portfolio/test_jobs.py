"""What of the portfolio is scheduled, done once."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from market.models import BarSeries
from portfolio.jobs import CheckPositions
from portfolio.models import Order, Position
from safety.models import AlertEvent
from tradingsite.common.actor import Actor

pytestmark = pytest.mark.django_db


def test_positions_that_differ_from_their_fills_are_told_under_a_kind_of_their_own(
    acme: BarSeries, place: Callable[..., Order]
) -> None:
    place()
    Position.objects.update(quantity=Decimal(999))
    found = CheckPositions().run(actor=Actor.system("test"), config={})
    assert found["differences"]
    assert list(AlertEvent.objects.values_list("kind", "severity")) == [("positions", "critical")]
