"""How recommendations turned out is filled in from the bars after their own, and never before those have ended."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.duties import conversations_old
from agents.models import AgentConversation, AgentRecommendation
from agents.services import returns, returns_fill
from agents.services.returns import AGAIN, later_returns
from executions.models import WorkflowExecution
from market.bars import Bars, to_ns
from tests.agents.conftest import spoke
from tests.agents.test_performance import advised
from tests.executions.conftest import Trials
from tests.portfolio.conftest import FIRST_DAY, Prices
from tradingsite.common import clock, housekeeping
from tradingsite.common.clock import utcnow

# A day's open and close, from the first of January on: closes at 100 + n, opens at half a unit below.
ROWS = [(99.5 + n, 101.0 + n, 99.0 + n, 100.0 + n) for n in range(25)]


@pytest.fixture
def run(trials: Trials) -> WorkflowExecution:
    return trials.create("one")


def about(run: WorkflowExecution, day: int, **fields: Any) -> AgentRecommendation:
    """Advise to buy on the bar of this day."""
    series = {"symbol": "ACME", "source": "prices-historical", "timeframe": "1d", "adjustment": "none"}
    return advised(run, f"Day{day}", "BUY", "BUY", bar_time=FIRST_DAY + timedelta(days=day), **{**series, **fields})


def known(row: AgentRecommendation) -> list[float | None]:
    row.refresh_from_db()
    return [None if r is None else round(r, 9) for r in (row.return_1, row.return_5, row.return_20)]


def gained(day: int, bars: int) -> float:
    """In at the open of the day after, out at the close of the bar that is `bars` after."""
    return round((100.0 + day + bars) / (99.5 + day + 1) - 1, 9)


@pytest.mark.django_db
def test_a_return_begins_at_the_next_open_and_ends_at_a_complete_close(run: WorkflowExecution, prices: Prices) -> None:
    prices.series("ACME", ROWS[:8])
    row = about(run, 0)
    # The eighth bar has only opened; seven have ended.
    assert returns_fill(wall=utcnow()) == 1
    assert known(row) == [gained(0, 1), gained(0, 5), None]


@pytest.mark.django_db
def test_nothing_is_known_of_the_newest_bar_until_the_next_has_ended(run: WorkflowExecution, prices: Prices) -> None:
    prices.series("ACME", ROWS[:3])
    row = about(run, 1)
    assert returns_fill(wall=utcnow()) == 0
    assert known(row) == [None, None, None]


@pytest.mark.django_db
def test_what_was_not_known_is_filled_in_later_and_what_was_stays(run: WorkflowExecution, prices: Prices) -> None:
    prices.series("ACME", ROWS[:4])
    row = about(run, 0)
    now = utcnow()
    assert returns_fill(wall=now) == 1
    prices.series("ACME", [(high * 2, high * 3, low, 1000.0) for _, high, low, _ in ROWS])
    assert returns_fill(wall=now + timedelta(seconds=1)) == 0
    assert returns_fill(wall=now + AGAIN + timedelta(seconds=1)) == 1
    found = known(row)
    assert found[0] == gained(0, 1)
    assert None not in found
    assert returns_fill(wall=now + 3 * AGAIN) == 0


@pytest.mark.django_db
def test_a_round_is_bounded_and_takes_next_what_has_waited_longest(
    run: WorkflowExecution, prices: Prices, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices.series("ACME", ROWS)
    for day in range(3):
        about(run, day)
    monkeypatch.setattr(returns, "ROUND", 2)
    now = utcnow()
    assert [returns_fill(wall=now), returns_fill(wall=now), returns_fill(wall=now)] == [2, 1, 0]


@pytest.mark.django_db
def test_a_series_that_is_gone_leaves_the_others_judged(run: WorkflowExecution, prices: Prices) -> None:
    prices.series("ACME", ROWS)
    gone, unknown, judged = about(run, 0, source="gone"), about(run, 1, source=""), about(run, 2)
    assert returns_fill(wall=utcnow()) == 1
    assert (known(gone), known(unknown)) == ([None] * 3, [None] * 3)
    assert None not in known(judged)


@given(
    opens=st.lists(st.floats(0.01, 1e6), min_size=1, max_size=30),
    day=st.integers(-1, 30),
    data=st.data(),
)
def test_later_returns_rest_only_on_bars_after_the_decisions_own(
    opens: list[float], day: int, data: st.DataObject
) -> None:
    closes = data.draw(st.lists(st.floats(0.01, 1e6), min_size=len(opens), max_size=len(opens)))
    moment = FIRST_DAY + timedelta(days=day)

    def bars(opened: list[float], closed: list[float]) -> Bars:
        times = [to_ns(FIRST_DAY + timedelta(days=n)) for n in range(len(opened))]
        columns = {"time": np.array(times), "open": np.array(opened), "close": np.array(closed)}
        return Bars.of({**columns, "high": np.array(opened), "low": np.array(opened), "volume": np.ones(len(opened))})

    found = later_returns(bars(opens, closes), moment)
    assert found == {
        count: closes[day + count] / opens[day + 1] - 1 for count in (1, 5, 20) if day + count < len(opens)
    }
    past = max(day + 1, 0)
    other = (
        bars([7.0] * past + opens[past:], [9.0] * past + closes[past:]) if past <= len(opens) else bars(opens, closes)
    )
    assert later_returns(other, moment) == found


@pytest.mark.django_db
def test_old_conversations_are_forgotten_and_what_was_advised_and_decided_stays(
    run: WorkflowExecution, settings: Any
) -> None:
    settings.AGENT_CONVERSATIONS_DAYS = 30
    now = utcnow()
    for days in (31, 29):
        with clock.frozen(now - timedelta(days=days)):
            spoke(run, None, "response", str(days), symbol=f"S{days}")
    about(run, 0, created_at=now - timedelta(days=400))
    assert housekeeping.prune()["agent_conversations"] == 1
    assert list(AgentConversation.objects.values_list("message_content", flat=True)) == ["29"]
    assert AgentRecommendation.objects.count() == 1
    assert WorkflowExecution.objects.filter(pk=run.pk).exists()
    settings.AGENT_CONVERSATIONS_DAYS = 0
    assert not conversations_old(now + timedelta(days=10_000)).exists()
