"""The mock cluster as the tests see it, and their own clients to read and write its topics."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from tests.kafka.mock_cluster import PARTITIONS
from tests.support.desk import ROOT

REQUESTS, EVENTS = "desk.run-requests", "desk.run-events"


@dataclass
class Cluster:
    """Brokers in a process of their own."""

    process: "subprocess.Popen[str]"
    bootstrap: str = ""

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the mock cluster ended with {self.process.wait(5)}"
        return json.loads(line)

    def _tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        assert self._answer() == {"done": word}

    def down(self) -> None:
        """Close every broker's port and connections; what they hold they keep."""
        self._tell("down")

    def up(self) -> None:
        self._tell("up")

    def records(self, topic: str) -> list[Message]:
        """Return all that stands on `topic`, of each partition in its order."""
        reader = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader", "enable.auto.commit": False})
        try:
            places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            ends = [reader.get_watermark_offsets(place, timeout=10)[1] for place in places]
            for place in places:
                place.offset = 0
            reader.assign(places)
            found: list[Message] = []
            deadline = time.monotonic() + 10
            while len(found) < sum(ends):
                assert time.monotonic() < deadline, f"{len(found)} of {sum(ends)} records could be read"
                found += [message for message in reader.consume(500, 0.2) if message.error() is None]
            return sorted(found, key=lambda message: (message.partition() or 0, message.offset() or 0))
        finally:
            reader.close()

    def write(self, topic: str, records: list[tuple[bytes | None, bytes | None, Mapping[str, Any]]]) -> None:
        """Produce (key, value, headers), each confirmed."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": "all"})
        for key, value, headers in records:
            producer.produce(topic, value=value, key=key, headers=dict(headers))
        assert producer.flush(10) == 0


@contextlib.contextmanager
def cluster(*topics: str) -> Iterator[Cluster]:
    """Yield brokers that have `topics`, by default the desk's; they end with the block."""
    program = [sys.executable, "-m", "tests.kafka.mock_cluster", *(topics or (REQUESTS, EVENTS))]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, start_new_session=True) as process:
        try:
            one = Cluster(process)
            one.bootstrap = one._answer()["bootstrap"]
            yield one
        finally:
            process.kill()
