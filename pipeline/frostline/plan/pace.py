"""How fast a device compiles, steps and stores: the assumptions of the estimate, by kind of device.

In: the study and a setting. Out: `Pace`. Pure. Figures of CPUs are from two cores of a cloud
machine. Those of GPUs are from two sweeps on an H200: twelve trials of a convolutional net under
XLA (88 s), and seven of Xception in graph mode (153 s).
"""

from __future__ import annotations

from dataclasses import dataclass

from frostline.study.study import Study
from frostline.trial import Setting
from frostline.words import counted

CPU_FLOPS_PER_CORE = 6e10
"""FLOP/s that one CPU core sustains in a training step: VGG16 reached 1e11 on two cores, a wide
perceptron 4.5e10, a small network with BatchNorm 3e10."""

GPU_FLOPS = (8e12, 6e13)
"""FLOP/s that one GPU sustains in float32: Xception in graph mode, where the device waits for small
kernels, and a convolutional net under XLA."""

CPU_FIRST_STEP = (2.0, 2.0)
GRAPH_FIRST_STEP = (0.6, 2.2)
XLA_FIRST_STEP = (2.0, 7.0)
"""Time to build, trace, compile and check a training step over the time that its inspection took:
with all but the head frozen, and with everything trainable. On CPUs from 0.8 (a transformer) to 2.6
(ResNet50) were measured without XLA, which compiles for longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a device takes; pairs are the lower and the upper estimate.

    Attributes:
        flops_per_s: slowest and fastest.
        first_step: making a step ready / inspecting it.
        start_s: from the command to the first baseline that is built, without building it.
        trial_s: check, profile, conversion and storing of a trial.
        energy_s: the window in which the energy of a step is measured.
        settles: whether steps get faster with the first hundred, which are run before any counts.
        device: in words.
    """

    flops_per_s: tuple[float, float]
    first_step: tuple[float, float]
    start_s: float
    trial_s: tuple[float, float]
    energy_s: float
    settles: bool
    device: str


def pace_of(study: Study, setting: Setting) -> Pace:
    """The pace of the device that trials of a study run on."""
    if not study.gpus:
        cores = study.resources.cpus_per_trial
        flops = cores * CPU_FLOPS_PER_CORE
        return Pace(
            flops_per_s=(flops, flops),
            first_step=CPU_FIRST_STEP,
            start_s=8.0,
            trial_s=(3.0, 3.0),
            energy_s=0.0,
            settles=setting.jit_compile != "true",
            device=f"{counted(cores, 'CPU core')} at {CPU_FLOPS_PER_CORE:.0e} FLOP/s each",
        )
    slow, fast = GPU_FLOPS
    return Pace(
        flops_per_s=(study.gpus * slow, study.gpus * fast),
        first_step=GRAPH_FIRST_STEP if setting.jit_compile == "false" else XLA_FIRST_STEP,
        start_s=11.0,
        trial_s=(0.8, 3.0),
        energy_s=1.5,
        settles=False,
        device=f"{counted(study.gpus, 'GPU')} at {slow:.0e} to {fast:.0e} FLOP/s each",
    )
