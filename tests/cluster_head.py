"""A Ray head for tests of the Jobs API: on the loopback interface, asking for a token, with an
autoscaler that could bring GPU machines, and never does. Ended by process id.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests
from ray.autoscaler.node_provider import NodeProvider

HERE = Path(__file__).parent
START_S = 90
_PR_SET_PDEATHSIG = 1


class NothingComes(NodeProvider):
    """An autoscaler's hands, tied."""

    @staticmethod
    def bootstrap_config(cluster_config: dict) -> dict:
        return cluster_config

    def non_terminated_nodes(self, tag_filters: dict) -> list[str]:
        return []

    def create_node(self, node_config: dict, tags: dict, count: int) -> None:
        return None


@dataclass
class Head:
    """A running head."""

    started: subprocess.Popen
    address: str
    gcs: str
    metrics: str
    token: str
    folder: Path

    @classmethod
    def start(cls, environment: dict[str, str]) -> Head:
        folder = Path(tempfile.mkdtemp(prefix="frostline-head-"))  # socket paths have to be short
        token = secrets.token_hex(16)
        config = folder / "autoscaler.yaml"
        config.write_text(json.dumps(_AUTOSCALER))
        gcs, dashboard, metrics, agent, client = _free_ports(5)
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
            "--node-ip-address=127.0.0.1", f"--port={gcs}", "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}", f"--metrics-export-port={metrics}",
            f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}",
            f"--temp-dir={folder}", "--num-cpus=2", "--object-store-memory=100000000",
            f"--autoscaling-config={config}", "--disable-usage-stats",
        ]  # fmt: skip
        variables = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": token,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_enable_autoscaler_v2": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_worker_niceness": "0",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(HERE),
        }
        with (folder / "head.log").open("w") as log:
            started = subprocess.Popen(
                command, env=os.environ | variables | environment, stdout=log, stderr=log,
                cwd=folder, preexec_fn=_end_with_parent,
            )  # fmt: skip
        head = cls(
            started=started,
            address=f"http://127.0.0.1:{dashboard}",
            gcs=f"127.0.0.1:{gcs}",
            metrics=f"http://127.0.0.1:{metrics}/metrics",
            token=token,
            folder=folder,
        )
        try:
            head._wait()
        except BaseException:
            head.end()
            raise
        return head

    def _wait(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.started.poll() is None:
            try:
                answer = requests.get(
                    f"{self.address}/api/jobs/", timeout=5,
                    headers={"Authorization": f"Bearer {self.token}"},
                )  # fmt: skip
                if answer.ok:
                    return
            except requests.RequestException:
                time.sleep(0.2)
        raise RuntimeError(f"no head: {(self.folder / 'head.log').read_text()}")

    def processes(self) -> list[psutil.Process]:
        first = psutil.Process(self.started.pid)
        return [first, *first.children(recursive=True)]

    def end(self) -> None:
        """Kill every process of the head: those that it started, and no other."""
        alive = self.processes() if self.started.poll() is None else []
        for each in alive:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(alive, timeout=10)
        self.started.wait(timeout=10)
        shutil.rmtree(self.folder, ignore_errors=True)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


_AUTOSCALER: dict = {
    "cluster_name": "test",
    "max_workers": 1,
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 1,
    "provider": {"type": "external", "module": "cluster_head.NothingComes"},
    "auth": {"ssh_user": "nobody"},
    "available_node_types": {
        "head": {"resources": {"CPU": 2}, "node_config": {}, "max_workers": 0},
        "gpu": {
            "resources": {"CPU": 8, "GPU": 1, "accelerator_type:L4": 1},
            "node_config": {}, "min_workers": 0, "max_workers": 1,
        },
    },
    "head_node_type": "head",
    "docker": {},
    "file_mounts": {},
    "cluster_synced_files": [],
    "file_mounts_sync_continuously": False,
    "rsync_exclude": [],
    "rsync_filter": [],
    "initialization_commands": [],
    "setup_commands": [],
    "head_setup_commands": [],
    "worker_setup_commands": [],
    "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
}  # fmt: skip
