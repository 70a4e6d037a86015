"""The promotion gate, tried itself: how often is luck promoted, and how often an edge that is there?

Run: python benchmarks/gate.py [--searches 200] [--seed 1] [--json FILE]. It exits with 1 when more than one in twenty searches
of pure noise is promoted, or fewer than eight in ten with a planted edge that is strong.

- noise: searches of returns without any edge; grid, period, folds, tails and likeness of neighbours are drawn for each.
- again and again: people who search the same noise twenty times, a new grid each time, and stop at what is promoted. With the
  ledger all their trials count; without it, each search counts its own, as a gate without memory would.
- planted: the usual search (36 combinations, ten years of days, five folds) with an edge in the middle of its grid.
- prices: the desk's engine searches the default grids of its strategy types over generated prices, with fees and slippage: of
  one to ten symbols that go nowhere, or that rise while nothing can be earned by timing them, and of eight symbols that drift
  up and down by turns, which types that follow trends can find.
- parts: how often each threshold alone would have let noise pass, which says what the others are for.
"""

import argparse
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.noise import markets
from benchmarks.noise.searches import Shape, drawn_returns, planted, searched
from optimize.honesty import Assessment, Gate, Trials

MOST_FALSE = 0.05
LEAST_FOUND = 0.8
EDGES = (1.0, 1.5, 2.0, 2.5, 3.0)
ROUNDS = 20
RISE = 0.5
TRENDS = (0.1, 0.2, 0.3)
FOLLOWERS = ("bollinger_breakout", "donchian_breakout", "ema_crossover", "macd", "momentum", "sma_crossover")


def noise(count: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        shape = Shape.drawn(rng)
        found.append(searched(drawn_returns(shape, rng), shape))
    return {**shares(found), "parts": parts(found)}


def again_and_again(people: int, seed: int) -> dict[str, Any]:
    """Return the part of the people who got something promoted, with and without a ledger."""
    shape = Shape(fast=4, slow=5, bars=1258, folds=5, train_ratio=0.6, likeness=0.8, tails=5.0, active=0.6)
    fooled = Counter[str]()
    for person in range(people):
        rng = np.random.default_rng([seed, person])
        others: list[Trials] = []
        promoted = set()
        for search in range(ROUNDS):
            returns = drawn_returns(shape, rng)
            remembered = searched(returns, shape, trials=(search + 1) * len(returns), others=others)
            others.append(remembered.trials)
            if remembered.verdict.outcome == "promote":
                promoted.add("with")
            forgotten = searched(returns, shape)
            if forgotten.verdict.outcome == "promote":
                promoted.add("without")
            # How many stop at the figure that most people look at.
            if np.nanmax(forgotten.t) > 1.645:
                promoted.add("t")
        fooled.update(promoted)
    return {"people": people, **{name: fooled[name] / people for name in ("with", "without", "t")}}


def edges(count: int, seed: int) -> dict[str, Any]:
    shape = Shape.usual()
    result = {}
    for edge in EDGES:
        rng = np.random.default_rng(seed)
        result[f"{edge:g}"] = shares(
            [searched(planted(drawn_returns(shape, rng), shape, edge), shape) for _ in range(count)]
        )
    return result


def prices(count: int, seed: int) -> dict[str, Any]:
    """Return what becomes of searches of the desk's own types over generated prices."""
    result = {}
    for name, drift in (("nowhere", 0.0), ("rising", RISE)):
        rng = np.random.default_rng(seed)
        found = []
        for number in range(count):
            days, symbols = int(rng.choice([1258, 2520])), int(rng.integers(1, 11))
            kind = markets.grids()[number % len(markets.grids())]
            found.append(markets.searched(kind, markets.market(days, symbols, rng, drift=drift)))
        result[name] = shares(found)
    followers = [each for each in markets.grids() if each.slug in FOLLOWERS]
    for trend in TRENDS:
        rng = np.random.default_rng(seed)
        result[f"trend {trend:g}"] = shares(
            [
                markets.searched(followers[number % len(followers)], markets.market(2520, 8, rng, trend=trend))
                for number in range(max(len(followers), count // 4))
            ]
        )
    return result


def shares(found: list[Assessment]) -> dict[str, Any]:
    outcomes = Counter(each.verdict.outcome for each in found)
    reasons = Counter(reason.code for each in found for reason in each.verdict.reasons)
    return {
        "searches": len(found),
        "promoted": outcomes["promote"] / len(found),
        "reviewed": outcomes["review"] / len(found),
        "rejected": outcomes["reject"] / len(found),
        "reasons": {code: number / len(found) for code, number in reasons.most_common()},
    }


def parts(found: list[Assessment]) -> dict[str, float]:
    gate = Gate()
    evidence = [each.verdict.evidence for each in found]
    dsr = np.array([each.dsr or 0.0 for each in evidence]) >= gate.min_dsr
    pbo = np.array([math.inf if each.pbo is None else each.pbo for each in evidence]) <= gate.max_pbo
    best = np.array([np.nanmax(each.t) for each in found])
    return {
        "t of the best above 1.645": float((best > 1.645).mean()),
        "DSR alone": float(dsr.mean()),
        "PBO alone": float(pbo.mean()),
        "DSR and PBO": float((dsr & pbo).mean()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began = time.perf_counter()
    result = {
        "noise": noise(options.searches, options.seed),
        "again and again": again_and_again(max(20, options.searches // 5), options.seed),
        "planted": edges(max(20, options.searches // 4), options.seed),
        "prices": prices(options.searches, options.seed),
    }
    show(result)
    print(f"{time.perf_counter() - began:.0f} s, seed {options.seed}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))
    walks = result["prices"]
    false = [
        result["again and again"]["with"],
        *(each["promoted"] for each in (result["noise"], walks["nowhere"], walks["rising"])),
    ]
    found = [result["planted"]["3"]["promoted"], walks["trend 0.3"]["promoted"]]
    kept = max(false) <= MOST_FALSE and min(found) >= LEAST_FOUND
    print(
        "kept" if kept else f"NOT kept: at most {MOST_FALSE:.0%} of noise, at least {LEAST_FOUND:.0%} of a strong edge"
    )
    return 0 if kept else 1


def show(result: dict[str, Any]) -> None:
    rows = [("noise", result["noise"]), *((f"planted {edge}", each) for edge, each in result["planted"].items())]
    rows += [(f"prices, {name}", each) for name, each in result["prices"].items()]
    print(f"{'':<20}{'searches':>9}{'promoted':>10}{'reviewed':>10}{'rejected':>10}")
    for name, each in rows:
        print(
            f"{name:<20}{each['searches']:>9}{each['promoted']:>10.1%}{each['reviewed']:>10.1%}{each['rejected']:>10.1%}"
        )
    print("\nnoise that would pass")
    for name, share in result["noise"]["parts"].items():
        print(f"  {name:<28}{share:>7.1%}")
    again = result["again and again"]
    print(f"\n{again['people']} people who search the same noise {ROUNDS} times, and got something promoted")
    print(f"  {'with the ledger':<28}{again['with']:>7.1%}")
    print(f"  {'without it':<28}{again['without']:>7.1%}")
    print(f"  {'t of the best above 1.645':<28}{again['t']:>7.1%}\n")


if __name__ == "__main__":
    sys.exit(main())
