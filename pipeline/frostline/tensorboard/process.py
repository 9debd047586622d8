"""The TensorBoard server: TensorBoard's own program, which ends with the process that started it.

The process id of the parent stands in the environment; the arguments are TensorBoard's.
"""

from __future__ import annotations

import os
import sys

from frostline.child import die_with_parent

PARENT = "FROSTLINE_TENSORBOARD_PARENT"

if __name__ == "__main__":
    die_with_parent(int(os.environ.pop(PARENT)))

    from tensorboard.main import run_main

    sys.argv[0] = "tensorboard"
    run_main()
