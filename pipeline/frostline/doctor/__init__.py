"""Checks whether this machine is fit to measure on, and says what to do about each finding.

    observations = observe(storage="results", thorough=False)    # effects: files, child processes
    checks = judge(observations)                                 # pure

`frostline doctor` prints the checks and exits 1 when one of them is a problem.

machine          observes the machine; `probes` ask TensorFlow and Ray in child processes
checks           observations -> checks
tested_versions  the libraries, and the versions that the tests run with
"""

from __future__ import annotations

from frostline.doctor.checks import Check, judge
from frostline.doctor.machine import Observations, observe

__all__ = ["Check", "Observations", "judge", "observe"]
