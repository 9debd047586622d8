"""Frostline: what freezing layers does to a training step, measured, attributed and predicted.

Everything that a notebook needs is here; the modules below are free to move. In order:

    import frostline

    study = frostline.load_study("studies/demo.toml")        # a study file -> Study
    frostline.run_sweep(study, "demo-out")                   # measures it -> SweepResult
    sweep = frostline.open_sweep("demo-out")                 # its tables -> Sweep
    frostline.predict(sweep, ["prefix:*", "norms"])          # speedups, measured or not
    frostline.explain(sweep, "prefix:4")                     # why a trial is or is not faster
    frostline.diff(sweep, "control 1", "prefix:4")           # two trials, op by op
    both = frostline.compare("before-out", sweep)            # two sweeps -> Comparison
    found = frostline.recommend(sweep, budget=0.5)           # what to freeze, per model and setting
    frostline.verify(sweep, found[0])                        # measures that -> Verified
    run = frostline.Run(examples=50_000, epochs=10)          # a training run -> Run
    frostline.bill(sweep, run)                               # its hours, by measured trial -> Bills
    frostline.predict_schedule(sweep, [(1, "none"), (4, "prefix:2")], run=run)   # over time
    frostline.report(sweep)                                  # writes the page -> its path
    frostline.report_comparison(both, "compared")            # that of a comparison, likewise
    frostline.export(sweep, "parquet")                       # a flat data set, or MLflow, W&B
    frostline.reattribute(sweep)                             # attributes the kept traces again
    frostline.status("demo-out")                             # how far a sweep is -> SweepStatus

Where the tensors of a step were recorded, `frostline.predict_cached(sweep, ["prefix:2"])` says what
training on the stored outputs of a frozen prefix gives.

Where a function takes a sweep it also takes the sweep's path or URI. What is wrong is raised as a
`FrostlineError`, whose message says what to do. `import frostline` alone imports none of the heavy
dependencies: each name is loaded from its module when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from frostline.version import __version__

if TYPE_CHECKING:
    from frostline.analyse.measured_bills import Bills, bill
    from frostline.billing import Bill, Run
    from frostline.comparison import Comparison, compare
    from frostline.difference import Difference, diff
    from frostline.errors import FrostlineError
    from frostline.explanation import Explanation, explain
    from frostline.exporting import Exported, export
    from frostline.prediction import (
        Answer,
        CachedFeatures,
        PredictedPolicies,
        ScheduleCost,
        predict,
        predict_cached,
        predict_schedule,
    )
    from frostline.recommendation.recommend import recommend
    from frostline.recommendation.recommendation import Recommendation, Recommendations
    from frostline.recommendation.verify import Verified, verify
    from frostline.reporting.comparison import report_comparison
    from frostline.reporting.make import report
    from frostline.store.sweep import Sweep, open_sweep
    from frostline.study.study import Study, load_study
    from frostline.sweep.reattribute import Reattributed, reattribute
    from frostline.sweep.result import SweepResult
    from frostline.sweep.run import run_sweep
    from frostline.sweep.status import SweepStatus, status

__all__ = [
    "Answer",
    "Bill",
    "Bills",
    "CachedFeatures",
    "Comparison",
    "Difference",
    "Explanation",
    "Exported",
    "FrostlineError",
    "PredictedPolicies",
    "Reattributed",
    "Recommendation",
    "Recommendations",
    "Run",
    "ScheduleCost",
    "Study",
    "Sweep",
    "SweepResult",
    "SweepStatus",
    "Verified",
    "__version__",
    "bill",
    "compare",
    "diff",
    "explain",
    "export",
    "load_study",
    "open_sweep",
    "predict",
    "predict_cached",
    "predict_schedule",
    "reattribute",
    "recommend",
    "report",
    "report_comparison",
    "run_sweep",
    "status",
    "verify",
]

_LOADED_ON_USE = {
    "frostline.analyse.measured_bills": ("Bills", "bill"),
    "frostline.billing": ("Bill", "Run"),
    "frostline.comparison": ("Comparison", "compare"),
    "frostline.difference": ("Difference", "diff"),
    "frostline.errors": ("FrostlineError",),
    "frostline.explanation": ("Explanation", "explain"),
    "frostline.exporting": ("Exported", "export"),
    "frostline.prediction": (
        "Answer",
        "CachedFeatures",
        "PredictedPolicies",
        "ScheduleCost",
        "predict",
        "predict_cached",
        "predict_schedule",
    ),
    "frostline.recommendation.recommend": ("recommend",),
    "frostline.recommendation.recommendation": ("Recommendation", "Recommendations"),
    "frostline.recommendation.verify": ("Verified", "verify"),
    "frostline.reporting.comparison": ("report_comparison",),
    "frostline.reporting.make": ("report",),
    "frostline.store.sweep": ("Sweep", "open_sweep"),
    "frostline.study.study": ("Study", "load_study"),
    "frostline.sweep.reattribute": ("Reattributed", "reattribute"),
    "frostline.sweep.result": ("SweepResult",),
    "frostline.sweep.run": ("run_sweep",),
    "frostline.sweep.status": ("SweepStatus", "status"),
}
_MODULES = {name: module for module, names in _LOADED_ON_USE.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name from its module when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module 'frostline' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
