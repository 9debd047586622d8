"""What the rows of a sweep say: noise, verdicts, the answer in words, where the time went. Pure."""

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
