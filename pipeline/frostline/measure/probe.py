"""What TensorFlow sees on this machine, in a process of its own: a line of JSON on standard output.

Run by `frostline.doctor.probes` with `thorough` or `quick`; `thorough` also profiles one
multiplication, to see whether kernels of a GPU may be recorded.
"""

from __future__ import annotations

import json
import sys

import tensorflow as tf

from frostline.scratch import scratch_folder


def _profiled() -> str:
    """What a profile of one multiplication holds: `kernels`, `host` ops only, or `nothing`."""
    step = tf.function(lambda x: tf.linalg.matmul(x, x))
    x = tf.ones([256, 256])
    step(x).numpy()
    with scratch_folder(prefix="frostline-probe-") as folder:
        tf.profiler.experimental.start(str(folder))
        step(x).numpy()
        tf.profiler.experimental.stop()
        content = b"".join(file.read_bytes() for file in folder.rglob("*.xplane.pb"))
    # Kernels stand in lines named after their stream; without permission CUPTI records none.
    return "kernels" if b"Stream #" in content else "host" if b"MatMul" in content else "nothing"


if __name__ == "__main__":
    details = tf.config.experimental.get_device_details
    names = [
        details(gpu).get("device_name", gpu.name) for gpu in tf.config.list_physical_devices("GPU")
    ]
    seen = _profiled() if sys.argv[1:] == ["thorough"] else None
    print(json.dumps({"gpus": names, "profile": seen}))
