"""Records the profiles in tests/data/profiles: three steps of a small model, TensorFlow 2.21, CPU.

    python tests/record_profiles.py graph|xla

The profiles are checked in and not recorded again: tests state what they contain. In the model,
`conv2` is frozen and lies between layers that train. Paths of the recording machine are overwritten
in place. Beside each profile lies the graph of its step.
"""

import itertools
import os
import sys
import tempfile
from pathlib import Path

STEPS = 3
PROFILES = Path(__file__).parent / "data" / "profiles"


def model(*, jit_compile: bool):
    import keras

    layers = keras.layers
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1")(inputs)
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv3")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Dense(10, activation="softmax", name="head")(x)
    net = keras.Model(inputs, outputs, name="net")
    net.compile("sgd", "sparse_categorical_crossentropy", jit_compile=jit_compile)
    return net


def record(kind: str) -> Path:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import keras
    import numpy as np
    import tensorflow as tf

    from frostline.measure.graph.recorder import StepRecorder
    from frostline.measure.graph.step import analyse_step
    from frostline.measure.layers import owned_layers

    keras.utils.set_random_seed(0)
    net = model(jit_compile=kind == "xla")
    owned = owned_layers(net)
    net.get_layer("conv2").trainable = False
    random = np.random.default_rng(0)
    x = tf.constant(random.random((16, 16, 16, 3), dtype=np.float32))
    y = tf.constant(random.integers(0, 10, 16))
    batches = itertools.repeat((x, y))
    net.make_train_function()
    with StepRecorder(net) as recorder:
        float(net.train_function(batches)["loss"])
    graph, _, warnings = analyse_step(recorder, owned)
    if graph is None:
        raise SystemExit(f"no graph: {warnings}")
    for _ in range(3):
        float(net.train_function(batches)["loss"])
    options = tf.profiler.experimental.ProfilerOptions(
        host_tracer_level=2, python_tracer_level=0, device_tracer_level=1
    )
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder, options=options)
        for step in range(STEPS):
            with tf.profiler.experimental.Trace("train", step_num=step, _r=1):
                float(net.train_function(batches)["loss"])
        tf.profiler.experimental.stop()
        (recorded,) = Path(folder).rglob("*.xplane.pb")
        content = recorded.read_bytes()
    graph.save(PROFILES / f"{kind}.graph.json")
    prefix = sys.prefix.encode()
    target = PROFILES / f"{kind}.xplane.pb"
    target.write_bytes(content.replace(prefix, b"/".ljust(len(prefix), b"x")))
    return target


if __name__ == "__main__":
    print(record(sys.argv[1]))
