"""What the rows of a sweep say: noise, verdicts, the answer in words, where the time went. Pure."""

from pipeline.analyse.association import Association, associate
from pipeline.analyse.groups import (
    GroupKey,
    Verdict,
    group_rows,
    noise_floor,
    noise_floors,
    verdict,
)
from pipeline.analyse.summary import (
    Contrast,
    GroupSummary,
    Summary,
    TrialSummary,
    summarise,
)
from pipeline.analyse.time_split import TimeSplit, time_split

__all__ = [
    "Association",
    "Contrast",
    "GroupKey",
    "GroupSummary",
    "Summary",
    "TimeSplit",
    "TrialSummary",
    "Verdict",
    "associate",
    "group_rows",
    "noise_floor",
    "noise_floors",
    "summarise",
    "time_split",
    "verdict",
]
