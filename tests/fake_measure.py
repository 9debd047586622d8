"""A measuring process without TensorFlow: speaks the real protocol, behaves as it is told.

`FROSTLINE_FAKE` names a folder with `behaviours.json`: by policy (`*`: all others; `open`:
baselines) a list of behaviours, one an attempt, the last for all further ones. What is asked of the
process is appended to `requests.log` there, one line a request: process id, op, policy. Traces are
copies of `recorded.xplane.pb` where the folder has one.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.child import connect_to_parent
from frostline.measure.messages import (
    REQUESTS,
    DeviceState,
    Failed,
    HeldBytes,
    Measured,
    OpenGroup,
    Progress,
    RanAlone,
    Ready,
    RunAlone,
    RunTrial,
    Sample,
    line_of,
)

STATE = Path(os.environ["FROSTLINE_FAKE"])
FOREVER_S = 600
BASELINE_NS = 40_000_000


def main() -> None:
    profile_steps = 0
    for line in sys.stdin.buffer:
        request = REQUESTS.validate_json(line)
        match request:
            case OpenGroup():
                profile_steps = request.measure.profile_steps
                misbehave("open", "open")
                say(Progress(stage="build"))
                say(ready())
            case RunTrial():
                log_to(request.log_path)
                say(Progress(stage="measure"))
                behaviour = misbehave("run", request.trial.policy)
                print(request.trial.policy, "was here", file=sys.stderr, flush=True)
                say(measured(request, behaviour, traced=profile_steps > 0))
            case RunAlone():
                log_to(request.log_path)
                say(alone(request, misbehave("alone", str(request.setting.batch_size))))
            case _:
                raise ValueError(f"{request.op} is not expected here")


def log_to(path: str) -> None:
    """As the real process does, so that one can see from outside which trial it is at."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 2)
    os.close(log)


def misbehave(op: str, policy: str) -> str:
    """Do what the next behaviour says; return it when an answer should follow."""
    with (STATE / "requests.log").open("a+") as log:
        log.write(f"{os.getpid()} {op} {policy}\n")
        log.flush()
        log.seek(0)
        earlier = sum(line.split(" ", 1)[1] == f"{op} {policy}\n" for line in log) - 1
    said = json.loads((STATE / "behaviours.json").read_text())
    listed = said.get(policy, said.get("*", ["ok"]) if op == "run" else ["ok"])
    behaviour = listed[min(earlier, len(listed) - 1)]
    match behaviour.split(":"):
        case ["kill"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["kill-lease"]:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(FOREVER_S)
        case ["stop-lease"]:
            os.kill(os.getppid(), signal.SIGSTOP)
            time.sleep(FOREVER_S)
        case ["stop"]:
            os.kill(os.getpid(), signal.SIGSTOP)
        case ["exit"]:
            sys.exit(7)
        case ["hang"]:
            time.sleep(FOREVER_S)
        case ["slow", seconds]:
            time.sleep(float(seconds))
        case ["garbage"]:
            REPLIES.write(b"Hello from a library\n")
            time.sleep(FOREVER_S)
        case ["out-of-turn"]:
            say(Progress(stage="measure"))
            say(ready() if op == "run" else Progress(stage="x"))
            time.sleep(FOREVER_S)
    return behaviour


def ready() -> Ready:
    return Ready(
        device_kind=f"Fake CPU, GPUs {os.environ['CUDA_VISIBLE_DEVICES']}",
        device_id="cpu:" + ",".join(map(str, sorted(os.sched_getaffinity(0)))),
        jit_compile=False,
        seconds={"import": 3.0, "build": 0.5},
        rss_bytes=1 << 30,
    )


def measured(request: RunTrial, behaviour: str, *, traced: bool) -> Measured | Failed:
    kind, _, value = behaviour.partition(":")
    if kind in ("fail", "fatal"):
        message = "net/conv2 moved although it is frozen"
        return Failed(stage="check", kind="FreezeCheck", message=message, fatal=kind == "fatal")
    if kind == "no-baseline":
        return Failed(stage="build", kind="NoBaseline", message="the baseline is gone")
    scratch = Path(request.scratch)
    baseline_ns = BASELINE_NS * int(value) if kind == "busy" else BASELINE_NS
    step_ns = baseline_ns if request.trial.is_control else baseline_ns // 2
    trace = scratch / "fake-host.xplane.pb"
    recorded = STATE / "recorded.xplane.pb"
    trace.write_bytes(recorded.read_bytes() if recorded.exists() else b"no XSpace")
    graph = StepGraph(
        variables=("net/a/kernel", "net/b/kernel"),
        trained=("net/b/kernel",),
        ops=(
            GraphOp(
                op_name="net/a/MatMul",
                op_type="MatMul",
                layer="net/a",
                pass_="forward",
                forward_flops=100,
            ),
        ),
    )
    graph.save(scratch / "graph.json")
    samples = tuple(
        Sample(arm=arm, pair=pair, position=position, warmup=pair < 0, n_steps=4, step_ns=ns)
        for pair in range(-1, 10)
        for position, (arm, ns) in enumerate((("baseline", baseline_ns), ("trial", step_ns)))
    )
    return Measured(
        samples=samples,
        pairing="interleaved",
        stop_reason="target_ci",
        speedup=baseline_ns / step_ns,
        speedup_low=baseline_ns / step_ns - 0.01,
        speedup_high=baseline_ns / step_ns + 0.02,
        step_ns=step_ns,
        baseline_step_ns=baseline_ns,
        profiled_step_ns=step_ns + 1_000_000,
        trace_file=str(trace) if traced and kind != "no-trace" else None,
        profile_error="CUPTI_ERROR_INSUFFICIENT_PRIVILEGES" if kind == "no-trace" else None,
        graph_file=str(scratch / "graph.json"),
        warnings=(),
        peak_memory_bytes=None,
        energy_joules_per_step=None,
        seconds={"build": 0.5, "trace": 1.0, "step": 2.0, "check": 0.1, "profile": 0.2},
        rss_bytes=int(value) if kind == "rss" else 1 << 30,
        examples_per_step=float(request.trial.setting.batch_size),
        device_before=gpu() if kind in ("throttled", "quiet") else None,
        device_after=gpu("thermal_slowdown") if kind == "throttled" else None,
        profile_windows=1 if traced else 0,
        step_compilations=1,
    )


def alone(request: RunAlone, behaviour: str) -> RanAlone | Failed:
    kind, _, value = behaviour.partition(":")
    if kind in ("OutOfMemory", "FreezeCheck"):
        return Failed(stage="trace", kind=kind, message="net/conv2 moved although it is frozen")
    return RanAlone(
        held=HeldBytes(weights=1000, optimizer_slots=2000, batch=10),
        peak_memory_bytes=int(value) if kind == "peak" else None,
        trace_file=None,
        error="no permission" if kind != "peak" else None,
    )


def gpu(*reasons: str) -> DeviceState:
    return DeviceState(
        clock_mhz=1200 if reasons else 1980, temperature_celsius=61, power_watts=402.5,
        throttle_reasons=reasons,
    )  # fmt: skip


def say(reply: Ready | Measured | RanAlone | Failed | Progress) -> None:
    REPLIES.write(line_of(reply))


if __name__ == "__main__":
    REPLIES = connect_to_parent()  # the real one: what it does is part of what is tested
    main()
