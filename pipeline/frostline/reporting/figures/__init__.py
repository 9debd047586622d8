"""The figures of the report, as Vega-Lite: values in, `Figure` out, no files.

    figure       what a figure is; the style of all of them
    frontier     step time against what stays trainable
    speedup      speedup against the frozen fraction, and against the first trainable layer
    placement    speedup by place at an equal frozen fraction
    prediction   predicted against measured; the error of each predictor
    time         where a step's time goes, by configuration
    layers       cost of each layer in each pass
    resources    memory and energy against the frozen fraction, memory against time
    comparison   two sweeps: both curves, and the ratio of each configuration

A specification names its data. The rows are kept separately, so that the page can filter them and
hold them once for several figures.
"""
