"""A Ray cluster of several nodes that loses one of them."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from cluster_kit import new_cluster
from schedule_kit import FAST, MEASURE, Heard, install_fake, lease, trial

from frostline.schedule.chunks import Chunk
from frostline.schedule.driver import Driver
from frostline.schedule.lease_spec import Resources
from frostline.store.outdir import OutDir


@pytest.mark.cluster
def test_a_lost_node_costs_one_attempt_and_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN two nodes WHEN the one at work dies THEN the other finishes what was not committed."""
    fake = install_fake(tmp_path / "fake", monkeypatch)
    fake.behave({"b": ["hang", "ok"]})
    cluster = new_cluster()
    from frostline.schedule.ray.executor import RayExecutor

    nodes = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
    assert cluster.address.startswith("127.0.0.1:")
    out, heard = OutDir.open(str(tmp_path / "out"), create=True), Heard()

    def lose_the_node_at_work() -> None:
        end = time.monotonic() + 60
        while "b" not in fake.runs():
            if time.monotonic() > end:
                return
            time.sleep(0.05)
        worker = psutil.Process(fake.requests("run")[-1][0])
        ancestors = {parent.pid for parent in worker.parents()}
        for node in nodes:
            if node.all_processes["raylet"][0].process.pid in ancestors:
                cluster.remove_node(node, allow_graceful=False)

    thread = threading.Thread(target=lose_the_node_at_work)
    try:
        with RayExecutor(Resources(gpus=0, cpus=1), address=cluster.address) as executor:
            driver = Driver(
                executor=executor,
                store=out,
                spec_of=lambda trials: replace(
                    lease(tmp_path / "out", [], measure=replace(MEASURE, profile_steps=0)),
                    trials=trials,
                ),
                limits=FAST,
                listener=heard,
            )
            thread.start()
            driver.run([Chunk(trials=(trial("a"), trial("b"), trial("c")))])
    finally:
        thread.join()
        cluster.shutdown()

    assert out.commits() == dict.fromkeys("abc", "ok")
    assert fake.runs() == ["a", "b", "b", "c"]
    assert driver.attempts == {"a": 1, "b": 2, "c": 1}
    assert any("lost a lease (node)" in notice for notice in heard.notices)
