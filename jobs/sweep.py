r"""The main job: run a study on the cluster this is submitted to, or on this machine.

    ray job submit --working-dir . --runtime-env-json '{"env_vars": {"PYTHONPATH": "pipeline"}}' \
        -- python -m jobs.sweep STUDY.toml --out s3://BUCKET/PREFIX
    PYTHONPATH=pipeline python -m jobs.sweep studies/demo.toml --out demo-out

The same as `frostline sweep`; a job joins the cluster that runs it.
"""

import os
import sys

from frostline.cli import main

if __name__ == "__main__":
    joins = ["--address", "auto"] if "RAY_ADDRESS" in os.environ else []
    sys.exit(main(["sweep", *joins, *sys.argv[1:]]))
