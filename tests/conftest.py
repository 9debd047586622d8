"""Shared by the tests: rows and sweeps as a small convolutional model might give them."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from s3_kit import S3, moto, proxy

from frostline.store.outdir import OutDir, TrialTables

# No test asserts on time: a busy machine must not fail a property.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

LAYERS = (*(f"net/conv{i}" for i in range(8)), "net/head")
PARAMS = (100, 400, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 8_000)
BASELINE_NS = 42_000_000


def trial_row(policy: str, frozen: range | list[int], speedup: float, **changes: object) -> dict:
    """A row of `trials` for a policy that freezes the layers with these indices."""
    frozen = list(frozen)
    trains = [i for i in range(len(LAYERS)) if i not in frozen]
    step_ns = round(BASELINE_NS / speedup)
    gradients = sum(PARAMS[i] for i in trains) / sum(PARAMS)
    digest = hashlib.sha256(f"{policy}{changes.get('replicate')}".encode()).hexdigest()[:12]
    row: dict[str, object] = {
        "trial_id": f"net-{digest}",
        "study": "demo",
        "model": "net",
        "policy": policy,
        "aliases": [],
        "frozen_layers": [LAYERS[i] for i in frozen],
        "frozen_variables": [f"{LAYERS[i]}/kernel" for i in frozen],
        "frozen_params": sum(PARAMS[i] for i in frozen),
        "total_params": sum(PARAMS),
        "frozen_fraction": sum(PARAMS[i] for i in frozen) / sum(PARAMS),
        "earliest_trainable_layer": trains[0],
        "batch_size": 16,
        "optimizer": "adam",
        "precision": "float32",
        "jit_compile": "auto",
        "jit_resolved": False,
        "strategy": "single",
        "is_control": False,
        "replicate": 0,
        "status": "ok",
        "warnings": [],
        "attempts": 1,
        "pairs": 15,
        "pairing": "interleaved",
        "stop_reason": "target_ci",
        "step_ns": step_ns,
        "baseline_step_ns": BASELINE_NS,
        "speedup": speedup,
        "speedup_low": speedup * 0.98,
        "speedup_high": speedup * 1.02,
        "forward_ns": 14_000_000,
        "activation_gradient_ns": round(13_000_000 * (1 - trains[0] / len(LAYERS))),
        "weight_gradient_ns": round(12_000_000 * gradients),
        "optimizer_ns": round(2_000_000 * gradients),
        "input_ns": 100_000,
        "other_ns": 400_000,
        "attributed_fraction": 0.99,
        "profiler_overhead": 1.02,
        "host": "quiet",
        "device_kind": "Test CPU",
        "device_id": "cpu:0,1",
        "frostline_version": "0.1.0",
        "started_at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        "duration_s": 4.0,
        "build_s": 0.5,
        "compile_s": 1.0,
        "stepping_s": 2.0,
        "check_s": 0.1,
        "profile_s": 0.2,
        "convert_s": 0.1,
    }
    return row | changes


def demo_rows() -> Iterator[dict]:
    """A sweep of the kind that puts the claim to the test, one failed trial included."""
    for replicate, off in enumerate((0.99, 1.02, 1.0)):
        yield trial_row("none", [], off, is_control=True, replicate=replicate)
    last = len(LAYERS) - 1
    for k in range(1, last):
        yield trial_row(f"prefix:{k}", range(k), 1 + 0.2 * k)
    for k in (2, 4, 6):
        yield trial_row(f"suffix:{k}", range(last - k, last), 1 + 0.04 * k)
    for k in (1, 3):
        yield trial_row(f"layer:{k}", [k], 1.005)
    yield trial_row("all_but_head", range(last), 2.6, speedup_low=2.5, speedup_high=2.72)
    nothing = dict.fromkeys((
        "pairs", "pairing", "stop_reason", "step_ns", "baseline_step_ns", "speedup", "speedup_low",
        "speedup_high", "forward_ns", "activation_gradient_ns", "weight_gradient_ns",
        "optimizer_ns", "input_ns", "other_ns", "attributed_fraction", "profiler_overhead",
    ))  # fmt: skip
    failed = {
        "status": "failed",
        "error_stage": "check",
        "error_type": "FreezeCheck",
        "error_message": "<b>net/conv2</b>/moving_mean changed; call it with training=False",
    }
    yield trial_row("regex:<script>alert(1)</script>", [2], 1.0) | nothing | failed


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """An S3 server on the loopback interface, shared by all tests: take a new place each."""
    with moto() as server:
        yield server


@pytest.fixture(scope="session")
def _front(s3: S3) -> Iterator[S3]:
    with proxy(s3) as front:
        yield front


@pytest.fixture
def front(_front: S3) -> Iterator[S3]:
    """The server behind a proxy that fails as it is told, and forgets it after the test."""
    _front.asked.clear()
    yield _front
    _front.fail()


@pytest.fixture
def make_row() -> Callable[..., dict]:
    """`trial_row`."""
    return trial_row


@pytest.fixture
def sweep_rows() -> list[dict]:
    """`demo_rows`."""
    return list(demo_rows())


@pytest.fixture
def make_sweep(tmp_path: Path) -> Callable[..., Path]:
    """Write a sweep with the given rows (default: `demo_rows`) and return its folder."""

    def make(rows: Iterable[dict] | None = None, name: str = "demo") -> Path:
        folder = tmp_path / "out"
        out = OutDir.open(str(folder), create=True)
        with out.lock():
            out.begin_run(
                f'name = "{name}"\n', "0" * 64, name,
                {"python": "3.11.7", "tensorflow": "2.21.0", "keras": "3.15.1"},
                machine={"cpu": "Test CPU", "cores": 8},
            )  # fmt: skip
            for row in demo_rows() if rows is None else rows:
                row["study"] = name
                out.publish(TrialTables(trial_id=str(row["trial_id"]), trials=[row]))
        return folder

    return make


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test marked `alone` in a process of its own.

    Where Ray's own processes were killed, what Ray left behind in the process of the test ends that
    process a minute later.
    """
    if pyfuncitem.get_closest_marker("alone") is None or os.environ.get("FROSTLINE_TEST_ALONE"):
        return None
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", pyfuncitem.nodeid],
        cwd=pyfuncitem.config.rootpath,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "FROSTLINE_TEST_ALONE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return True
