"""How news reads, by a small list of words. Crude on purpose: it can be read in full and gives the same every time."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from agents.team.rules.figures import NewsItem


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GOOD = _words(
    """
    beat beats beaten exceed exceeds exceeded surpass surpasses record gain gains gained rise rises rose rising rally
    rallies rallied jump jumps jumped surge surges surged soar soars soared growth grow grows grew strong stronger strongest
    upgrade upgraded upgrades outperform outperforms raise raises raised profitable approval approved approves
    win wins won award awarded awards expand expands expansion improve improves improved improvement breakthrough
    dividend buyback buybacks optimistic confident recovery recovers recovered success successful boost boosts
    boosted accelerate accelerates accelerated robust
    """
)
BAD = _words(
    """
    miss misses missed fall falls fell falling drop drops dropped decline declines declined plunge plunges plunged slump
    slumps slumped loss losses weak weaker weakest downgrade downgraded downgrades underperform underperforms cut cuts
    lawsuit lawsuits sue sues sued fraud probe investigation investigated recall recalls recalled bankruptcy bankrupt
    default defaults defaulted layoff layoffs warn warns warned warning delay delays delayed shortage shortages halt halts
    halted fine fined penalty resign resigns resigned disappointing disappoints disappointed slowdown slows slowed concern
    concerns fear fears risk risks breach breached hack hacked shrink shrinks shrank
    """
)
NOT = frozenset({"not", "no", "never", "without", "fails", "failed", "hardly"})
HALF_LIFE_DAYS = 7.0
# A headline says more than what stands below it.
_HEADLINE, _BODY = 2.0, 1.0
_WORD = re.compile(r"[a-z]+(?:'t)?")


class Mood(NamedTuple):
    """`score` is -1 to 1; `good` and `bad` count the items that lean so; `telling` are the words that were found."""

    score: float
    good: int
    bad: int
    telling: tuple[str, ...]


def mood_of(text: str) -> tuple[float, tuple[str, ...]]:
    """Return (good minus bad words as a fraction of both, the words); a negation within three words turns one round."""
    words = _WORD.findall(text.lower())
    good = bad = 0
    telling = []
    for place, word in enumerate(words):
        side = 1 if word in GOOD else -1 if word in BAD else 0
        if side == 0:
            continue
        before = words[max(0, place - 3) : place]
        if any(each in NOT or each.endswith("n't") for each in before):
            side = -side
        good, bad = good + (side > 0), bad + (side < 0)
        telling.append(word)
    return ((good - bad) / (good + bad) if good + bad else 0.0), tuple(dict.fromkeys(telling))


def mood(items: Sequence[NewsItem]) -> Mood:
    """Return how the items read together; an item weighs half as much for each week that it is older than the newest."""
    if not items:
        return Mood(0.0, 0, 0, ())
    newest = max(item.published_at for item in items)
    total = weights = 0.0
    good = bad = 0
    telling: list[str] = []
    for item in items:
        headline, said = mood_of(item.headline)
        body, more = mood_of(item.body)
        score = (_HEADLINE * headline + _BODY * body) / (_HEADLINE + _BODY) if more else headline
        age = (newest - item.published_at).total_seconds() / 86_400
        weight = math.pow(0.5, age / HALF_LIFE_DAYS)
        total, weights = total + weight * score, weights + weight
        good, bad = good + (score > 0.1), bad + (score < -0.1)
        telling += [*said, *more]
    return Mood(total / weights, good, bad, tuple(dict.fromkeys(telling))[:6])
