"""Predictions from a sweep: for the trials that were measured, and for any other configuration.

    evidence                  tables of the anchors -> what the cost model takes
    fitted_groups             sweep -> a cost model for each model and setting, or why there is none
    predicted_configurations  a group and policies, measured or not -> predicted speedups
    predict                   a sweep and policies -> predictions for every model and setting
    schedules                 a sweep and a schedule -> what a run takes whose frozen layers change
    cached_features           a configuration -> training on stored outputs of its frozen prefix;
                              `cached_sweep` asks it of a sweep
    schedule_words            what a schedule takes, as a table and a sentence
    bills                     a run and a group -> hours, energy and money; `bill_words` says them
    interval                  held-out errors -> how far a prediction may be off
    predictions_table         measured trials -> rows of the table `predictions`

Needs neither TensorFlow nor Ray, and reads the anchors' rows only.
"""

from frostline.prediction.cached_features import CachedFeatures
from frostline.prediction.cached_sweep import predict_cached
from frostline.prediction.fitted_groups import PredictedGroup, Unpredicted, sort_groups
from frostline.prediction.predict import GroupAnswers, PredictedPolicies, predict
from frostline.prediction.predicted_configurations import Answer, answer
from frostline.prediction.predictions_table import THREE_ANCHOR, predictions, write_predictions
from frostline.prediction.schedules import ScheduleCost, predict_schedule

__all__ = [
    "THREE_ANCHOR",
    "Answer",
    "CachedFeatures",
    "GroupAnswers",
    "PredictedGroup",
    "PredictedPolicies",
    "ScheduleCost",
    "Unpredicted",
    "answer",
    "predict",
    "predict_cached",
    "predict_schedule",
    "predictions",
    "sort_groups",
    "write_predictions",
]
