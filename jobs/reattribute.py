r"""Attribute and predict a sweep again from the traces that it kept; needs no GPU.

    ray job submit --working-dir . --runtime-env-json '{"env_vars": {"PYTHONPATH": "pipeline"}}' \
        -- python -m jobs.reattribute s3://BUCKET/PREFIX

The same as `frostline reattribute`.
"""

import sys

from frostline.cli import main

if __name__ == "__main__":
    sys.exit(main(["reattribute", *sys.argv[1:]]))
