"""Attribute and predict a sweep again from the traces that it kept; needs no GPU.

ray job submit --working-dir . -- python -m jobs.reattribute s3://BUCKET/PREFIX
python -m jobs.reattribute demo-out
"""

from __future__ import annotations

import argparse
import sys

from frostline.errors import FrostlineError
from frostline.sweep.reattribute import reattribute


def main() -> int:
    """Rewrite the tables; 0: done, 1: OUT cannot be read or written, 2: it is no sweep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", help="folder or URI of the results")
    asked = parser.parse_args()
    try:
        done = reattribute(asked.out, tell=lambda line: print(line, flush=True))
    except FrostlineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again", file=sys.stderr)
        return 130
    for notice in done.notices:
        print(f"note: {notice}")
    print(
        f"{len(done.rewritten)} trials attributed again, {len(done.left)} left as they are, "
        f"the predictions of {done.predicted} changed"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
