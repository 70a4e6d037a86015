"""The desk of one command, with its runs by Kafka."""

from pathlib import Path

import pytest

from tests.e2e import walk
from tests.kafka.cluster import EVENTS, REQUESTS, cluster
from tests.support.desk import desk

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


def test_the_run_of_the_first_start_goes_by_kafka_in_one_process(tmp_path: Path) -> None:
    with (
        cluster() as kafka,
        desk(tmp_path, {"EXECUTION_TRANSPORT": "kafka", "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap}) as one,
    ):
        up = one.manage("up")
        one.wait_until_up(up)
        with one.client() as client:
            runs = walk.get(client, "/api/runs")["results"]
            assert [run["status"] for run in runs] == ["completed"]
            health = walk.get(client, "/health/ready")["checks"]
        assert (health["kafka"]["status"], health["workers"]["detail"]) == ("ok", "1 alive")
        assert [message.key() for message in kafka.records(REQUESTS)] == [runs[0]["id"].encode()]
        assert {message.key() for message in kafka.records(EVENTS)} == {runs[0]["id"].encode()}
        up.interrupt()
        assert up.process.wait(40) == 0, up.output()
        assert "Stopped." in up.output()
