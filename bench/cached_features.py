"""When stored outputs pay, predicted and by hand: `python bench/cached_features.py STUDY ...`.

For studies of a Sequential model. Runs the study (resuming what is there), and asks for the epochs
after which training on stored outputs of `--freeze` has cost less. Then does it by hand: the frozen
layers become a model whose outputs are computed once, the others a model that is fitted on them.
Its epochs, those of the whole model with the prefix frozen, and the pass that fills the store are
timed, each with its compilation apart. With `--bandwidth` the store is as slow as that: each batch
is given out, and taken in, after a wait. The target is one epoch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

from plain_fit import PlainRun, fit_seconds

from frostline.billing.bill import steps_per_epoch
from frostline.billing.run import Run
from frostline.policies import expand, frozen_layers
from frostline.prediction import predict_cached, sort_groups
from frostline.store.sweep import open_sweep
from frostline.study.study import load_study
from frostline.sweep.run import run_sweep


def main() -> int:
    """Predict, do it by hand, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--freeze", required=True)
    parser.add_argument("--examples", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bandwidth", type=float, help="of the store, MB a second")
    arguments = parser.parse_args()
    study = load_study(arguments.study)
    run_sweep(study, str(arguments.out))
    sweep = open_sweep(str(arguments.out))
    run = Run(examples=arguments.examples, epochs=1)
    bandwidth = None if arguments.bandwidth is None else arguments.bandwidth * 1e6
    (found, *_), _ = predict_cached(sweep, arguments.freeze, run=run, bandwidth=bandwidth)
    group = next(each for each in sort_groups(sweep)[0] if each.key == found.key)
    (one,) = expand(arguments.freeze, group.facts)
    whole = PlainRun(study.model_specs()[0], found.key.setting)
    whole.freeze(one.frozen_variables)
    steps = steps_per_epoch(arguments.examples, found.key.setting.batch_size)
    names = {name.split("/")[0] for name in frozen_layers(group.facts, one.frozen_variables)}
    if found.bytes_per_example is None or found.cached_step_ns is None:
        raise SystemExit(f"{found.policy}: {found.why_not}")
    moved = found.bytes_per_example * found.key.setting.batch_size
    wait_s = 0.0 if bandwidth is None else moved / bandwidth
    fill_s, compile_s, stored_s, whole_s = _by_hand(whole, names, steps, arguments.rounds, wait_s)
    by_hand = (fill_s + compile_s) / (whole_s - stored_s)
    print(
        f"{found.policy}: an epoch {whole_s:.2f} s, on stored outputs {stored_s:.2f} s (predicted "
        f"{found.step_ns * steps / 1e9:.2f} s and {found.cached_step_ns * steps / 1e9:.2f} s), "
        f"filling {fill_s:.2f} s, compiling {compile_s:.2f} s\n"
        f"pays after {by_hand:.2f} epochs by hand, {found.pays_after_epochs or 0:.2f} predicted; "
        f"{found.bytes_per_example:,} bytes an example"
    )
    return 0


def _by_hand(
    whole: PlainRun, frozen: set[str], steps: int, rounds: int, wait_s: float
) -> tuple[float, float, float, float]:
    """Seconds: filling the store, compiling that, an epoch on stored outputs, a whole epoch."""
    import keras
    import tensorflow as tf

    layers = whole.model.layers
    cut = max(at for at, layer in enumerate(layers) if layer.name in frozen) + 1
    while not layers[cut].trainable_variables:  # activations, poolings
        cut += 1
    prefix = keras.Sequential([keras.Input(whole.model.input_shape[1:]), *layers[:cut]])
    rest = keras.Sequential([keras.Input(layers[cut - 1].output.shape[1:]), *layers[cut:]])
    optimizer = type(whole.model.optimizer).from_config(whole.model.optimizer.get_config())
    rest.compile(optimizer=optimizer, loss=whole.model.loss)
    inputs, targets = whole.batch
    forward: Any = tf.function(lambda x: prefix(x, training=False))
    start = time.perf_counter()
    features = forward(inputs)
    float(tf.reduce_sum(features))
    first = time.perf_counter() - start
    fills, stored, wholes = [], [], []
    data = tf.data.Dataset.from_tensors((features, targets)).repeat()
    if wait_s:
        data = data.map(lambda *batch: _after(wait_s, batch)).prefetch(2)

    fit_seconds(rest, data, steps)
    whole.seconds(steps)
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(steps):
            made = forward(inputs)
            time.sleep(wait_s)
        float(tf.reduce_sum(made))
        fills.append(time.perf_counter() - start)
        stored.append(fit_seconds(rest, data, steps))
        wholes.append(whole.seconds(steps))
    fill = statistics.median(fills)
    return (
        fill,
        max(0.0, first - fill / steps),
        statistics.median(stored),
        statistics.median(wholes),
    )


def _after(seconds: float, batch: Any) -> Any:
    """A batch, given out when so many seconds have gone by."""
    import tensorflow as tf

    def waited(value: Any) -> Any:
        time.sleep(seconds)
        return value

    features, targets = batch
    late = tf.numpy_function(waited, [features], features.dtype)
    late.set_shape(features.shape)
    return late, targets


if __name__ == "__main__":
    raise SystemExit(main())
