"""A sweep's results where people keep them: a flat data set, or runs of a tracking store.

flat       a sweep -> three flat tables with units
tracking   a sweep -> a run for each trial: parameters, metrics, tags
to_mlflow  runs -> MLflow; the only place that imports it
to_wandb   runs -> Weights & Biases, offline; the only place that imports it
export     a sweep and a target -> what was written
"""

from frostline.exporting.export import TARGETS, Exported, export

__all__ = ["TARGETS", "Exported", "export"]
