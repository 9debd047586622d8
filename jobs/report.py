r"""Draw the report of a sweep where its results are, and print its summary.

    ray job submit --working-dir . --runtime-env-json '{"env_vars": {"PYTHONPATH": "pipeline"}}' \
        -- python -m jobs.report s3://BUCKET/PREFIX

The same as `frostline report`.
"""

import sys

from frostline.cli import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
