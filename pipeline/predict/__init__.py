"""Predictions from a sweep: for the trials that were measured, and for any other configuration.

    evidence      tables of the anchors -> what the cost model takes
    groups        sweep -> a cost model for each model and setting, or why there is none
    answers       a group and policies that need never have run -> predicted speedups
    asked         the same over every model and setting of a sweep
    interval      held-out errors -> how far a prediction may be off
    predictions   measured trials -> rows of the table `predictions`

In a notebook:

    predicted = predict(open_sweep("OUT"), ["prefix:*", "norms"])
    predicted.answers

Needs neither TensorFlow nor Ray, and reads the anchors' rows only.
"""

from pipeline.predict.answers import Answer, answer
from pipeline.predict.asked import GroupAnswers, Predicted, predict
from pipeline.predict.evidence import TRAINABLE, load_facts
from pipeline.predict.groups import Group, Unpredicted, groups, sort_groups
from pipeline.predict.predictions import (
    THREE_ANCHOR,
    Prediction,
    predictions,
    write_predictions,
)

__all__ = [
    "THREE_ANCHOR",
    "TRAINABLE",
    "Answer",
    "Group",
    "GroupAnswers",
    "Predicted",
    "Prediction",
    "Unpredicted",
    "answer",
    "groups",
    "load_facts",
    "predict",
    "predictions",
    "sort_groups",
    "write_predictions",
]
