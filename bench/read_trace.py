"""Read a trace as a lease does, until its rows are there: `read_trace.py TRACE GRAPH`."""

from __future__ import annotations

import sys
from pathlib import Path

from attribution_speed import read

from frostline.attribute.step_graph import StepGraph
from frostline.trace.converter import TraceConverter

if __name__ == "__main__":
    with TraceConverter() as converter:
        read(Path(sys.argv[1]), StepGraph.load(Path(sys.argv[2])), converter)
