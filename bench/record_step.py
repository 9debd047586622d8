"""Record ResNet50's training: `python bench/record_step.py PROFILE EVENTS`.

Out: PROFILE, an `.xplane.pb` of at least EVENTS events of the training step at 64x64 on this
machine's CPU; beside it `graph.json`, its traced step, and a `.json` with the number of events and
the seconds that it took to analyse the traced training function, several times over. A program of
its own, so that no process that is timed or weighed by `bench/attribution_speed.py` holds
TensorFlow.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ANALYSES = 7
TRIAL_STEPS = 3


def main(target: str, events: str) -> None:
    """Record."""
    folder = Path(target).parent
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import keras

    from frostline.measure.arm import Arm
    from frostline.measure.batches import feed
    from frostline.measure.build import build, strategy_for
    from frostline.measure.device import configure_threads
    from frostline.measure.graph.recorder import StepRecorder
    from frostline.measure.graph.step import analyse_step
    from frostline.measure.layers import owned_layers
    from frostline.measure.profiler import profile
    from frostline.trial import ModelSpec, Setting

    configure_threads()
    keras.utils.set_random_seed(0)
    kwargs = {"input_shape": [64, 64, 3], "weights": "none", "classes": 10}
    model_spec = ModelSpec(
        name="resnet50", builder="keras.applications:ResNet50", kwargs_json=json.dumps(kwargs),
        loss=None, metrics=(), data=None,
    )  # fmt: skip
    setting = Setting(
        batch_size=8, optimizer="adam", precision="float32", jit_compile="false", strategy="single"
    )
    strategy = strategy_for(setting)
    model, _ = build(model_spec, setting, seed=0)
    arm = Arm(model, feed(model, model_spec, setting, strategy, seed=0).batches, strategy)
    arm.state.build_variables()
    owned = owned_layers(model)
    arm.state.build()
    with StepRecorder(model) as recorder:
        model.make_train_function()
        arm.run(1)
    seconds = []
    for _ in range(ANALYSES):
        started = time.perf_counter()
        graph, _, warnings = analyse_step(recorder, owned)
        seconds.append(time.perf_counter() - started)
    if graph is None:
        raise SystemExit(f"no graph: {warnings}")
    graph.save(folder / "graph.json")
    arm.run(3)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        few = _profiled(profile(arm, TRIAL_STEPS, Path(scratch) / "few").trace_file)
        steps = math.ceil(int(events) / (_events(few) / TRIAL_STEPS))
        whole = _profiled(profile(arm, steps, Path(scratch) / "whole").trace_file)
        shutil.copy(whole, target)
        found = {"analysis_s": seconds, "steps": steps, "events": _events(whole)}
    Path(target).with_suffix(".json").write_text(json.dumps(found))


def _profiled(file: str | None) -> Path:
    if file is None:
        raise SystemExit("the profiler left no trace")
    return Path(file)


def _events(path: Path) -> int:
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    return sum(len(line.events) for plane in space.planes for line in plane.lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
