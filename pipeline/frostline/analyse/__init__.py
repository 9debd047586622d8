"""What the rows of a sweep say: noise, verdicts, the answer in words, where the time went.

From rows alone, pure:

    groups             trials that can be compared, their noise floor, verdicts
    busy, waits        how much of a step the device works, and what it waits for
    dispatch           what gives a waiting device more to do, in words
    forward_alone      the speedup of a step of nothing but the forward pass
    association        how well one property of a configuration explains its speedup
    placement          first layers, last ones or scattered ones, at an equal frozen fraction
    backward_flops     backward work that a configuration saves, in FLOPs
    layer_costs        what each layer costs in each pass
    prediction_error   how far predictors are off, out of sample
    summary            rows -> Summary, which terminal and report show
    answer             Summary -> the answer in plain words
    setting_contrasts  one training setting against another
    variant_table      variants of a model against one baseline
    published_table    published speedups beside the measured ones
    time_split         where the time of the sweep itself went
    lookup             what was typed -> one trial

Read from a sweep's tables and files:

    profiles           profiles of trials, by layer and pass
    lora_products      how a variant's low-rank gradients were computed
    stored_model       facts of a model; a trial's traced step
    stored_memory      the memory model
    stored_study       the study
    stored_run         the training run that the study describes
    measured_bills     what that run takes in each measured trial
"""

from frostline.analyse.answer import answer, group_answer
from frostline.analyse.association import Association, associate
from frostline.analyse.groups import (
    GroupKey,
    TrialGroup,
    Verdict,
    noise_floor,
    noise_floors,
    trial_groups,
    verdict,
)
from frostline.analyse.setting_contrasts import (
    SettingContrast,
    contrast_words,
    setting_contrasts,
)
from frostline.analyse.summary import GroupSummary, Summary, TrialSummary, summarise
from frostline.analyse.time_split import TimeSplit, time_split
from frostline.analyse.variant_table import VariantComparison, variant_comparisons

__all__ = [
    "Association",
    "GroupKey",
    "GroupSummary",
    "SettingContrast",
    "Summary",
    "TimeSplit",
    "TrialGroup",
    "TrialSummary",
    "VariantComparison",
    "Verdict",
    "answer",
    "associate",
    "contrast_words",
    "group_answer",
    "noise_floor",
    "noise_floors",
    "setting_contrasts",
    "summarise",
    "time_split",
    "trial_groups",
    "variant_comparisons",
    "verdict",
]
