"""The libraries that a sweep rests on, and the versions that the tests run with."""

from __future__ import annotations

KNOWN_TO_WORK = {
    "tensorflow": "2.21",
    "keras": "3.15",
    "ray": "2.60",
    "xprof": "2.24",
    "tensorboard": "2.21",
    "pyarrow": "26.0",
    "duckdb": "2.0",
    "numpy": "2.4",
}
"""Minor versions by distribution; the profile's format and op names move with them."""
