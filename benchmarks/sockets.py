"""Telling many sockets: the desk's hub against the stock Channels layer on Redis, in one run on one machine.

Run: python benchmarks/sockets.py [--clients 200 1000] [--rounds 2] [--json FILE]. PostgreSQL, Redis and both servers are
its own. It exits with 1 when a target is missed:

- at least 10 times the peer's deliveries a second, for each number of clients,
- no event of a burst of 500 lost by any client of the desk,
- clients whose connection, reading or broker was interrupted have every number after a replay, and those that stopped
  reading were let go with their code.

A delivery is one event at one client. The clock runs from the handing over of the first event (for the desk the commit of
the transaction that wrote all of them) to the last client's last event. Both sides get the same events, and the same
clients, which are written for this and cost less than either server.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import redis

from benchmarks.live.stage import Side, Stage, stage

RATIO = 10.0
BURST = 500
# Within the peer's default capacity of 100, so that its speed is measured and not its losses.
EVENTS = {200: 40, 1000: 10}
CAPACITIES = (100, 1000)
AT_MOST_S = 15.0
FOLLOWERS, STALLED, DROPPED = 30, 5, 10


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[200, 1000], help="how many sockets listen")
    parser.add_argument("--rounds", type=int, default=2, help="how often each side is measured, in turn")
    parser.add_argument("--only", choices=("speed", "burst", "gaps"), help="measure this alone")
    parser.add_argument(
        "--at-most", type=int, default=240, help="seconds; a machine at work on other things needs more"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    return parser.parse_args()


def _burst(on: Stage, side: Side, clients: int, events: int) -> dict[str, Any]:
    """Publish events at once and return what came of them."""
    on.clients.ask(do="begin")
    busy = side.cpu_s()
    published = side.publisher.ask(120, do="publish", events=events)
    took = on.clients.ask(AT_MOST_S + 60, do="take", events=events, quiet_s=3.0, at_most_s=AT_MOST_S)
    seconds = max(took["last_at"] - published["began"], 1e-6)
    busy = side.cpu_s() - busy
    return {
        "side": side.name,
        "clients": clients,
        "events": events,
        "per_s": took["delivered"] / seconds,
        "seconds": seconds,
        "rows_s": published.get("rows_s", 0.0),
        "server_cpu_us": busy / max(took["delivered"], 1) * 1e6,
        "lost": sum(took["lost"]),
        "worst_lost": max(took["lost"]),
        # Otherwise what is not there may still come: the time was up while some arrived.
        "in_time": took["in_time"],
        "twice": took["twice"],
        "disordered": took["disordered"],
        "closed": took["closed"],
    }


def _latency(on: Stage, side: Side, clients: int) -> dict[str, Any]:
    """Publish ten events a second for three seconds and return when they arrived."""
    on.clients.ask(do="begin", latencies=True)
    side.publisher.ask(60, do="publish", events=30, gap_s=0.1)
    took = on.clients.ask(AT_MOST_S + 60, do="take", events=30, quiet_s=3.0, at_most_s=AT_MOST_S)
    return {"side": side.name, "clients": clients, "lost": sum(took["lost"]), **took["latency"]}


def _speed(on: Stage, arguments: argparse.Namespace, ends: float) -> dict[str, list[dict[str, Any]]]:
    """Measure each side in turn; another round begins only while it can be expected to end in time."""
    figures: dict[str, list[dict[str, Any]]] = {"speed": [], "burst": [], "latency": []}
    for round_ in range(arguments.rounds):
        began = time.monotonic()
        for clients in arguments.clients:
            # So few events fill neither capacity, and a thousand sockets would keep the peer at a burst for minutes.
            many = clients > 200
            for side in (on.desk, *on.peers[: 1 if many else None]):
                opened = on.clients.ask(300, do="open", url=side.url, clients=clients, cookie=side.cookie)
                if arguments.only != "burst":
                    found = _burst(on, side, clients, EVENTS.get(clients, 20))
                    figures["speed"].append({**found, "opening_s": opened["seconds"]})
                first, desk = round_ == 0, side is on.desk
                if first and arguments.only != "speed":
                    if desk or not many:
                        figures["burst"].append(_burst(on, side, clients, BURST))
                    if side is not on.peers[-1]:
                        figures["latency"].append(_latency(on, side, clients))
                on.clients.ask(do="close")
                print(f"  {time.monotonic() - began:5.0f} s  {clients} clients on the {side.name}", file=sys.stderr)
        if time.monotonic() + (time.monotonic() - began) > ends:
            break
    return figures


def _gaps(on: Stage) -> dict[str, Any]:
    """Take messages from clients in three ways while events are told, and see what they have in the end."""
    desk, followers = on.desk, on.followers
    start = desk.publisher.ask(do="publish", events=1)["last"]
    followers.ask(60, do="open", url=desk.url, cookie=desk.cookie, clients=FOLLOWERS, stalled=STALLED)
    desk.publisher.ask(do="publish", events=20, gap_s=0.01)
    followers.ask(do="stall")
    for part in range(10):
        # Large ones: who does not read must run out of every buffer on the way.
        desk.publisher.ask(60, do="publish", events=200, padding=4000)
        if part == 3:
            followers.ask(do="drop", first=STALLED, last=STALLED + DROPPED)
        if part == 6:
            with redis.Redis.from_url(on.redis_url) as broker:
                broker.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    time.sleep(1)
    followers.ask(do="read_on")
    desk.publisher.ask(do="publish", events=20, gap_s=0.01)
    wanted = desk.publisher.ask(60, do="stored", after=start)["ids"]
    found = followers.ask(90, do="finish", ids=wanted, at_most_s=60.0)
    return {"events": len(wanted), "followers": FOLLOWERS, "stalled": STALLED, "dropped": DROPPED, **found}


def _median(figures: list[dict[str, Any]], side: str, clients: int) -> float:
    found = [one["per_s"] for one in figures if one["side"] == side and one["clients"] == clients]
    return statistics.median(found) if found else 0.0


def _judge(on: Stage, figures: dict[str, Any]) -> list[str]:
    """Print the tables and return the targets that were missed."""
    missed: list[str] = []
    if speed := figures.get("speed"):
        print("\ndeliveries a second (median of the rounds; all rounds behind)")
        for clients in sorted({one["clients"] for one in speed}):
            ours = _median(speed, on.desk.name, clients)
            best = max(_median(speed, peer.name, clients) for peer in on.peers)
            for side in (on.desk, *on.peers):
                rounds = [one for one in speed if one["side"] == side.name and one["clients"] == clients]
                if not rounds:
                    continue
                all_ = ", ".join(f"{one['per_s']:,.0f}" for one in rounds)
                cpu = statistics.median(one["server_cpu_us"] for one in rounds)
                lost = sum(one["lost"] for one in rounds)
                fate = "lost" if all(one["in_time"] for one in rounds) else f"lost or not there after {AT_MOST_S:.0f} s"
                print(
                    f"  {clients:5} clients  {side.name:20} {_median(speed, side.name, clients):10,.0f}/s"
                    f"  {cpu:7.1f} us of the server's processor each, {lost:,} {fate} ({all_})"
                )
            print(f"  {clients:5} clients  the desk tells {ours / best:.1f} times as many")
            if ours < RATIO * best:
                missed.append(f"{clients} clients: {ours / best:.1f} times the peer's deliveries, not {RATIO:.0f}")
    if burst := figures.get("burst"):
        print(f"\na burst of {BURST}")
        for one in burst:
            whole = one["clients"] * BURST
            fate = "lost" if one["in_time"] else f"lost or not there after {AT_MOST_S:.0f} s:"
            print(
                f"  {one['clients']:5} clients  {one['side']:20} {fate} {one['lost']:,} of {whole:,}"
                f" ({one['lost'] / whole:.0%}), at most {one['worst_lost']} by one client,"
                f" {one['per_s']:,.0f}/s in {one['seconds']:.1f} s; {one['twice']} twice"
            )
            if one["side"] == on.desk.name and (one["lost"] or one["twice"] or one["disordered"]):
                missed.append(f"{one['clients']} clients lost {one['lost']} of a burst, {one['twice']} came twice")
    if latency := figures.get("latency"):
        print("\nten events a second: milliseconds from the handing over to the client")
        for one in latency:
            print(
                f"  {one['clients']:5} clients  {one['side']:20} p50 {one.get('p50_ms', 0):8.1f}"
                f"  p95 {one.get('p95_ms', 0):8.1f}  p99 {one.get('p99_ms', 0):8.1f}"
            )
    if gaps := figures.get("gaps"):
        slow = gaps["closed"].get("4408", 0)
        print(
            f"\ngaps: {gaps['followers']} clients, {gaps['events']:,} events; {gaps['stalled']} stopped reading"
            f" ({slow} let go with 4408), {gaps['dropped']} lost their connection, the broker's was cut once"
            f" ({gaps['resyncs']} told to ask anew): {gaps['missing']} missing in the end"
            f" ({gaps['repeated']:,} of {gaps['followers'] * gaps['events']:,} numbers repeated and dropped by the client)"
        )
        if gaps["missing"] or gaps["unknown"]:
            missed.append(f"gaps: {gaps['missing']} missing, {gaps['unknown']} unknown after the replay")
        if slow != gaps["stalled"]:
            missed.append(f"gaps: {slow} of {gaps['stalled']} stalled clients were let go with 4408")
        if not gaps["resyncs"]:
            missed.append("gaps: nobody was told that the broker had been away")
    return missed


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError("not done in the time given by --at-most")


def main() -> int:
    arguments = _arguments()
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(arguments.at_most)
    began = time.monotonic()
    with stage(CAPACITIES) as on:
        figures: dict[str, Any] = {}
        if arguments.only in (None, "gaps"):
            figures["gaps"] = _gaps(on)
        if arguments.only != "gaps":
            figures |= _speed(on, arguments, began + arguments.at_most - 30)
        missed = _judge(on, figures)
    signal.alarm(0)
    load = os.getloadavg()[0]
    print(
        f"\n{time.monotonic() - began:.0f} s on {os.cpu_count()} processors, load {load:.1f}, Python {platform.python_version()}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({**figures, "missed": missed, "load": load}, indent=1) + "\n")
    for one in missed:
        print(f"MISSED: {one}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
