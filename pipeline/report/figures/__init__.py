"""The figures of the report, as Vega-Lite: values in, `Figure` out, no files.

    figure       what a figure is; the style of all of them
    speedup      speedup against the frozen fraction, and against the first trainable layer
    placement    speedup by place at an equal frozen fraction
    prediction   predicted against measured; the error of each predictor
    time         where a step's time goes, by configuration
    layers       cost of each layer in each pass
    resources    memory and energy against the frozen fraction

A specification names its data; the rows stand apart, so that the page can filter them and hold them
once for several figures.
"""

from pipeline.report.figures.figure import Figure, Rows
from pipeline.report.figures.layers import layer_costs_figure
from pipeline.report.figures.placement import placement_figure
from pipeline.report.figures.prediction import predicted_figure, predictor_errors_figure
from pipeline.report.figures.resources import energy_figure, memory_figure
from pipeline.report.figures.speedup import (
    Trial,
    speedup_by_depth,
    speedup_by_fraction,
    trial_rows,
)
from pipeline.report.figures.time import Bar, time_figure

__all__ = [
    "Bar",
    "Figure",
    "Rows",
    "Trial",
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
