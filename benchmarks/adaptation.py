"""Live adaptation, tried itself: does it follow a market whose best parameters move, and does it leave noise alone?

Run: python benchmarks/adaptation.py [moved] [noise] [--seeds 5] [--rounds 300] [--json FILE]. Both without a name. It exits with 1
when adaptation does not beat the frozen parameters, or does not follow each move within its lag, or when noise changes them in
more than one round of twenty.

- moved: a price drifts up and down in cycles whose length jumps at known bars. The frozen parameters are the best of the first
  stretch, and adaptation starts with them; every fifty bars the desk's own round looks at the trailing window and what it
  proposes is traded from the next bar on. The oracle has in each stretch what hindsight says was best there.
- noise: independent rounds over random walks, fat-tailed, wilder and calmer in turns, of all types with their own grids.
"""

import argparse
import json
import math
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import itertools

from benchmarks.noise import markets
from optimize import engine
from optimize.adaptation.candidates import candidates
from optimize.adaptation.clamping import within
from optimize.adaptation.proposing import Plan, propose
from workflows.strategies import strategy_types
from workflows.strategies.rules import Value

FloatArray = npt.NDArray[np.float64]

MOMENTUM = strategy_types.get("momentum")
SPACE: dict[str, list[Value]] = {"lookback": [4, 5, 6, 8, 10, 12, 15, 18, 22, 27]}
STRETCH, WINDOW, EVERY = 2_500, 1_000, 50
# Percent by which one round may move the lookback; the last one is that of the rounds on noise.
STEPS = (25.0, 50.0)
SLOW = markets.Cycle(STRETCH, length=160, strength=0.4, reversal=0.8)
MIDDLE = markets.Cycle(STRETCH, length=50, strength=0.9)
FAST = markets.Cycle(STRETCH, length=18, strength=1.1)
# The way back: what is bought for three bars of a rise falls again.
WIDE = markets.Cycle(STRETCH, length=80, strength=0.7, reversal=1.6, over=3)
CYCLES = (SLOW, MIDDLE, FAST, WIDE)
COSTS = engine.Settings(fee=0.0005, slippage=0.0005)
PLAN = Plan(objective="sharpe", watch_bars=60, seed=1)
# Trailing windows within which half of what a move leaves to be gained must be had again.
LAG = 1.5
# As long as the slowest rule of the space warms up.
WARM = 60
MOST_CHANGED = 0.05


class Market:
    """One generated price: `WARM` and `WINDOW` bars of the first cycle, then a stretch of each length."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 7])
        first, *others = CYCLES
        stretches = [replace(first, bars=WARM + WINDOW + first.bars), *others]
        self.bars = markets.bars_of(markets.cycles(stretches, rng), "CYCLE", rng)
        self.series = [engine.prepare(self.bars)]
        self.axis = engine.make_axis(self.series)
        # Where trading begins, and where a length ends.
        self.edges = [WARM + WINDOW + STRETCH * number for number in range(len(CYCLES) + 1)]

    def traded(self, params: dict[str, Value], first: int, last: int) -> FloatArray:
        """Return the returns per bar over [first, last), flat before it."""
        windows = self.axis.windows([(first, last)])
        (found,) = engine.returns(MOMENTUM, [params], self.series, windows, self.axis, COSTS)
        return found.value

    def best(self, first: int, last: int) -> dict[str, Value]:
        """Return what hindsight says of a stretch."""
        tried = [MOMENTUM.clean({"lookback": lookback}) for lookback in SPACE["lookback"]]
        return max(tried, key=lambda params: sharpe(self.traded(params, first, last)))


def sharpe(returns: FloatArray) -> float:
    """Return the yearly Sharpe ratio."""
    deviation = returns.std()
    return float(returns.mean() / deviation * math.sqrt(252)) if deviation > 0 else 0.0


def adapted(
    market: Market, start: dict[str, Value], pct: float
) -> tuple[list[tuple[int, dict[str, Value]]], Counter[str]]:
    """Return from which bar on the desk would have had which parameters, and what its rounds came to."""
    live, since = start, [(market.edges[0], start)]
    codes: Counter[str] = Counter()
    for now in range(market.edges[0] + EVERY, market.edges[-1], EVERY):
        known = market.bars.slice(0, now)
        found = propose(
            MOMENTUM,
            candidates(MOMENTUM, live, SPACE, pct),
            [known],
            start_ns=int(known.time[-WINDOW]),
            end_ns=int(known.time[-1]),
            settings=COSTS,
            plan=PLAN,
        )
        codes[found.code] += 1
        if found.params is not None:
            assert within(MOMENTUM, live, found.params, pct) == []
            live = found.params
            since.append((now, live))
    return since, codes


def followed(seed: int, pct: float) -> dict[str, Any]:
    market = Market(seed)
    first, last = market.edges[0], market.edges[-1]
    stretches = list(itertools.pairwise(market.edges))
    # What hindsight says of the first length: more than anybody knows who freezes parameters.
    start = market.best(*stretches[0])
    since, codes = adapted(market, start, pct)
    ends = [at for at, _ in since[1:]] + [last]
    best = [market.best(*stretch) for stretch in stretches]
    returns = {
        "frozen": market.traded(start, first, last),
        "adapted": np.concatenate(
            [market.traded(params, at, end) for (at, params), end in zip(since, ends, strict=True)]
        ),
        "oracle": np.concatenate([market.traded(params, *each) for params, each in zip(best, stretches, strict=True)]),
    }
    return {
        "lookbacks": [(at - first, params["lookback"]) for at, params in since],
        "oracle": [params["lookback"] for params in best],
        "codes": dict(codes),
        "sharpe": {
            name: [sharpe(values), *(sharpe(values[a - first : b - first]) for a, b in stretches)]
            for name, values in returns.items()
        },
        "lag": [lag(market, since, stretch, params) for stretch, params in zip(stretches[1:], best[1:], strict=True)],
    }


def lag(
    market: Market,
    since: list[tuple[int, dict[str, Value]]],
    stretch: tuple[int, int],
    best: dict[str, Value],
) -> dict[str, Any]:
    """Return after how many bars of a stretch the parameters had half of what could be gained over those of its first bar.

    What could be gained is a Sharpe ratio over the whole stretch; None where parameters never had half of it.
    """
    first, last = stretch
    # A change at the jump itself still comes from bars before it.
    at_first = [params for at, params in since if at <= first][-1]
    worth = sharpe(market.traded(at_first, first, last))
    gain = sharpe(market.traded(best, first, last)) - worth
    enough = [
        at - first
        for at, params in since
        if first < at < last and sharpe(market.traded(params, first, last)) >= worth + gain / 2
    ]
    return {"gain": gain, "bars": enough[0] if enough else None}


def moved(seeds: int, pct: float) -> dict[str, Any]:
    runs = [followed(seed, pct) for seed in range(seeds)]
    table = {name: np.array([run["sharpe"][name] for run in runs]) for name in ("frozen", "adapted", "oracle")}
    ahead = table["adapted"][:, 0] - table["frozen"][:, 0]
    return {
        "runs": runs,
        "sharpe": {
            name: {"mean": each.mean(axis=0).tolist(), "sd": each.std(axis=0, ddof=1).tolist()}
            for name, each in table.items()
        },
        "ahead": {
            "mean": float(ahead.mean()),
            "error": float(ahead.std(ddof=1) / math.sqrt(seeds)),
            "won": int((ahead > 0).sum()),
        },
    }


def noise(rounds: int, seed: int = 1) -> dict[str, Any]:
    result = {}
    for number, (name, settings) in enumerate((("without costs", engine.Settings()), ("with costs", COSTS))):
        for window in (250, 500, 1000):
            rng = np.random.default_rng([seed, number, window])
            codes: Counter[str] = Counter()
            kinds = markets.grids()
            for at in range(rounds):
                kind = kinds[at % len(kinds)]
                (bars,) = markets.market(window, 1, rng)
                found = propose(
                    kind,
                    candidates(kind, kind.clean({}), None, STEPS[-1]),
                    [bars],
                    start_ns=int(bars.time[-window]),
                    end_ns=int(bars.time[-1]),
                    settings=settings,
                    plan=PLAN,
                )
                codes[found.code] += 1
            changed = codes["BETTER"]
            result[f"{name}, {window} bars"] = {
                "rounds": rounds,
                "changed": changed / rounds,
                "bound": upper(changed, rounds),
                "codes": dict(codes),
            }
    return result


def upper(hits: int, rounds: int, level: float = 0.05) -> float:
    """Return the upper end of Clopper's and Pearson's one-sided interval of a share."""
    low, high = hits / rounds, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        below = sum(
            math.exp(
                math.lgamma(rounds + 1) - math.lgamma(k + 1) - math.lgamma(rounds - k + 1)
                + k * math.log(middle) + (rounds - k) * math.log1p(-middle)
            )
            for k in range(hits + 1)
        )  # fmt: skip
        low, high = (middle, high) if below > level else (low, middle)
    return high


def show(result: dict[str, Any]) -> None:
    for pct, found in result.get("moved", {}).items():
        lengths = " | ".join(f"cycles of {each.length}" for each in CYCLES)
        print(
            f"\nsteps of at most {pct} %\n\n| yearly Sharpe ratio | all | {lengths} |\n|---|---|{'---|' * len(CYCLES)}"
        )
        for name, each in found["sharpe"].items():
            cells = (f"{mean:.2f} ± {sd:.2f}" for mean, sd in zip(each["mean"], each["sd"], strict=True))
            print(f"| {name} | {' | '.join(cells)} |")
        ahead, runs = found["ahead"], found["runs"]
        print(
            f"\nadapted less frozen {ahead['mean']:.2f}, standard error {ahead['error']:.2f}, ahead in {ahead['won']} of {len(runs)}"
        )
        for number, (before, after) in enumerate(itertools.pairwise(each.length for each in CYCLES)):
            lags = [run["lag"][number] for run in runs]
            there = [each["bars"] for each in lags if each["bars"] is not None]
            gain = np.mean([each["gain"] for each in lags])
            said = "" if not there else f", after {np.median(there):.0f} bars in the median, {max(there)} at most"
            windows = "" if not there else f" ({np.median(there) / WINDOW:.2f} and {max(there) / WINDOW:.2f} windows)"
            print(
                f"{before} -> {after}: {gain:.2f} to gain, half of it had in {len(there)} of {len(lags)}{said}{windows}"
            )
        for run in runs:
            print(f"  best {run['oracle']}, from bar with lookback {run['lookbacks']}, rounds {run['codes']}")
    if "noise" in result:
        print("\n| noise | rounds | changed | at most (95 %) | what they came to |\n|---|---|---|---|---|")
        for name, each in result["noise"].items():
            codes = ", ".join(f"{code} {count}" for code, count in sorted(each["codes"].items()))
            print(f"| {name} | {each['rounds']} | {each['changed']:.1%} | {each['bound']:.1%} | {codes} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", help="moved, noise; both without a name")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    engine.warm()
    began = time.perf_counter()
    result: dict[str, Any] = {}
    if not options.which or "moved" in options.which:
        result["moved"] = {f"{pct:g}": moved(options.seeds, pct) for pct in STEPS}
    if not options.which or "noise" in options.which:
        result["noise"] = noise(options.rounds)
    show(result)
    print(f"\n{time.perf_counter() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    beaten = all(each["ahead"]["mean"] > 2 * each["ahead"]["error"] for each in result.get("moved", {}).values())
    followed_all = all(
        each["bars"] is not None and each["bars"] <= LAG * WINDOW
        for found in result.get("moved", {}).values()
        for run in found["runs"]
        for each in run["lag"]
    )
    quiet = all(each["changed"] <= MOST_CHANGED for each in result.get("noise", {}).values())
    return 0 if beaten and followed_all and quiet else 1


if __name__ == "__main__":
    sys.exit(main())
