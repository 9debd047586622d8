"""The figures of the report, as Vega-Lite: values in, `Figure` out, no files.

    figure       what a figure is; the style of all of them
    speedup      speedup against the frozen fraction, and against the first trainable layer
    placement    speedup by place at an equal frozen fraction
    prediction   predicted against measured; the error of each predictor
    time         where a step's time goes, by configuration
    layers       cost of each layer in each pass
    resources    memory and energy against the frozen fraction

A specification names its data. The rows are kept separately, so that the page can filter them and
hold them once for several figures.
"""

from frostline.reporting.figures.figure import Figure, Rows
from frostline.reporting.figures.layers import layer_costs_figure
from frostline.reporting.figures.placement import placement_figure
from frostline.reporting.figures.prediction import predicted_figure, predictor_errors_figure
from frostline.reporting.figures.resources import energy_figure, memory_figure
from frostline.reporting.figures.speedup import (
    TrialPoint,
    speedup_by_depth,
    speedup_by_fraction,
    trial_rows,
)
from frostline.reporting.figures.time import Bar, time_figure

__all__ = [
    "Bar",
    "Figure",
    "Rows",
    "TrialPoint",
    "energy_figure",
    "layer_costs_figure",
    "memory_figure",
    "placement_figure",
    "predicted_figure",
    "predictor_errors_figure",
    "speedup_by_depth",
    "speedup_by_fraction",
    "time_figure",
    "trial_rows",
]
