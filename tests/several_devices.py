"""Steps over two devices, in a process of its own: a process divides its CPU only once.

Prints the names of the models whose steps ran.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf

HERE = str(Path(__file__).parent)
MODELS = (("many_inputs", None), ("ragged", "fed_models:ragged_data"))


def main() -> None:
    """Build each model under a strategy of two devices, and run some steps."""
    whole = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(whole, [tf.config.LogicalDeviceConfiguration()] * 2)
    from frostline.measure.arm import Arm
    from frostline.measure.batches import feed
    from frostline.measure.build import build
    from frostline.measure.fresh_step import fresh_train_function
    from frostline.trial import ModelSpec, Setting

    setting = Setting(
        batch_size=8, optimizer=None, precision="float32", jit_compile="auto", strategy="mirrored"
    )
    strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
    for name, data in MODELS:
        entry = ModelSpec(
            name=name, builder=f"fed_models:{name}", kwargs_json="{}", loss=None, metrics=(),
            data=data, search_path=(HERE,),
        )  # fmt: skip
        model, _ = build(entry, setting, seed=0, strategy=strategy)
        with strategy.scope():
            found = feed(model, entry, setting, strategy, seed=0)
            arm = Arm(model, found.batches, strategy, cycle=found.cycle)
            arm.state.build_variables()
        arm.state.build()
        fresh_train_function(model)
        assert arm.run(2).n_steps == 2
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
