"""Draw the report of a sweep where its results are, and print its summary.

ray job submit --working-dir . -- python -m jobs.report s3://BUCKET/PREFIX
python -m jobs.report demo-out
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from frostline.analyse import summarise
from frostline.cli.results import result
from frostline.errors import FrostlineError
from frostline.reporting.make import make_report
from frostline.store.sweep import open_sweep


def main() -> int:
    """Write `OUT/report/`; 0: done, 1: OUT cannot be read or written, 2: it is no sweep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", help="folder or URI of the results")
    asked = parser.parse_args()
    console = Console(highlight=False)
    try:
        sweep = open_sweep(asked.out)
        console.print(result(summarise(sweep.trial_rows())))
        console.print(f"Report: {make_report(sweep)}", soft_wrap=True)
    except FrostlineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
