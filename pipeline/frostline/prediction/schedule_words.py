"""What a schedule takes, as a table and a sentence. Pure."""

from __future__ import annotations

from frostline.prediction.schedules import ScheduleCost
from frostline.words import DASH, duration_s, milliseconds, ratio

COLUMNS = ("policy", "epochs", "steps", "step ms", "steps take", "compile")


def schedule_cells(cost: ScheduleCost) -> list[tuple[str, ...]]:
    """The stages as rows under `COLUMNS`."""
    return [
        (
            stage.policy,
            f"{stage.from_epoch}-{stage.from_epoch + stage.epochs - 1}",
            f"{stage.steps:,}",
            milliseconds(stage.step_ns),
            duration_s(stage.stepping_s),
            DASH if stage.compile_s is None else duration_s(stage.compile_s),
        )
        for stage in cost.stages
    ]


def schedule_sentence(cost: ScheduleCost) -> str:
    """What all stages take, beside the same run with nothing frozen."""
    interval = (
        ""
        if cost.low_s is None or cost.high_s is None
        else f" [{duration_s(cost.low_s)}, {duration_s(cost.high_s)}]"
    )
    compiling = (
        "compiling is not known and left out"
        if cost.compile_s is None
        else f"{duration_s(cost.compile_s)} of it compiling the step of each stage"
    )
    return (
        f"{duration_s(cost.total_s)}{interval} in all, {compiling}; with nothing frozen "
        f"{duration_s(cost.nothing_frozen_s)}: {ratio(cost.speedup)}. Predicted, no stage was run."
    )
