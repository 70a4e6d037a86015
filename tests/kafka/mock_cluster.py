"""librdkafka's mock cluster as a program: three brokers on loopback sockets, which can be taken away and brought back.

The Python client does not offer the cluster's controls, so they are called in the library that it brings along. What
the brokers hold lives as long as the program, which prints its addresses and then obeys words on its input: `down`,
`up`, and the end of the input.
"""

import ctypes
import json
import sys
from pathlib import Path

import confluent_kafka

BROKERS, PARTITIONS = 3, 4
PRODUCER = 0


def library() -> ctypes.CDLL:
    """Return the library inside the client's wheel, with the calls that are used here described."""
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    (path,) = folder.glob("librdkafka-*.so*")
    found = ctypes.CDLL(str(path))
    pointer, text, whole = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32
    calls = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (ctypes.c_int, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [ctypes.c_int, pointer, text, ctypes.c_size_t]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, ctypes.c_int]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_topic_create": (ctypes.c_int, [pointer, text, ctypes.c_int, ctypes.c_int]),
        "rd_kafka_mock_broker_set_down": (ctypes.c_int, [pointer, whole]),
        "rd_kafka_mock_broker_set_up": (ctypes.c_int, [pointer, whole]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, whole]),
    }
    for name, (result, arguments) in calls.items():
        call = getattr(found, name)
        call.restype, call.argtypes = result, arguments
    return found


def main(topics: list[str]) -> None:
    kafka = library()
    said = ctypes.create_string_buffer(512)
    config = kafka.rd_kafka_conf_new()
    kafka.rd_kafka_conf_set(config, b"log_level", b"0", said, len(said))
    handle = kafka.rd_kafka_new(PRODUCER, config, said, len(said))
    cluster = kafka.rd_kafka_mock_cluster_new(handle, BROKERS)
    kafka.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 200)
    for topic in topics:
        failed = kafka.rd_kafka_mock_topic_create(cluster, topic.encode(), PARTITIONS, BROKERS)
        assert not failed, f"topic {topic}: {failed}"
    answer(bootstrap=kafka.rd_kafka_mock_cluster_bootstraps(cluster).decode())
    turn = {"down": kafka.rd_kafka_mock_broker_set_down, "up": kafka.rd_kafka_mock_broker_set_up}
    for line in sys.stdin:
        word = line.strip()
        for broker in range(1, BROKERS + 1):
            failed = turn[word](cluster, broker)
            assert not failed, f"broker {broker}: {failed}"
        answer(done=word)


def answer(**said: str) -> None:
    print(json.dumps(said), flush=True)  # noqa: T201  # the answer to whoever started this program


if __name__ == "__main__":
    main(sys.argv[1:])
