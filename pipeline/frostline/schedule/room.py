"""Whether trials have room on one machine, before anything is started there.

In: what a trial holds, and the machine. Out: nothing, or a refusal that says what is missing; the
same for a plan and for a sweep with an embedded Ray. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from frostline.errors import UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.machine import Machine
from frostline.memory.expected import expected_bytes, least_bytes
from frostline.plan.trials import TrialPlan
from frostline.schedule.lease_spec import Resources, too_small
from frostline.words import size


def slots_on(machine: Machine, resources: Resources) -> int:
    """Trials that a machine can measure side by side, at least one.

    Raises:
        UsageError: not even one fits.
    """
    slots = machine.slots(cpus=resources.cpus, gpus=resources.gpus)
    if slots:
        return slots
    # Which kind a GPU is only Ray knows; it is not what is missing here.
    kinds = (resources.device,) if resources.device and machine.gpus else ()
    raise UsageError(too_small(resources, cpus=machine.cores, gpus=machine.gpus, kinds=kinds))


def refuse_too_large(
    plan: TrialPlan, facts: Mapping[str, ModelFacts], machine: Machine, *, gpus: int
) -> None:
    """Raise where a model does not fit into the memory of its device even alone.

    Args:
        plan: the trials.
        facts: of their models, by name.
        machine: where they would run.
        gpus: that a trial holds; 0: it runs in main memory.

    Raises:
        UsageError: names the model, what it needs and what there is.
    """
    there = machine.gpu_memory_bytes if gpus else machine.memory_bytes
    for group in plan.groups:
        needed = least_bytes(facts[group.model.name], group.setting)
        if there is not None and needed > there:
            where = "a GPU here" if gpus else "this machine"
            raise UsageError(
                f"model `{group.model.name}`, {group.setting.words()}, needs at least "
                f"{size(needed)} of memory for its weights, their gradients and the optimizer's "
                f"state, activations not counted, and {where} has {size(there)}: run it on a "
                "larger machine, or make the model smaller"
            )


def memory_warnings(
    plan: TrialPlan, facts: Mapping[str, ModelFacts], machine: Machine, *, gpus: int
) -> list[str]:
    """What is likely to run out of memory, in words; arguments as for `refuse_too_large`."""
    there = machine.gpu_memory_bytes if gpus else machine.memory_bytes
    found = []
    for group in plan.groups:
        expected = expected_bytes(facts[group.model.name], group.setting)
        if there is not None and expected is not None and expected > there:
            where = "a GPU here" if gpus else "this machine"
            found.append(
                f"model `{group.model.name}`, {group.setting.words()}, is expected to need about "
                f"{size(expected)} of memory with all layers training, and {where} has "
                f"{size(there)}: its trials may end with OutOfMemory; lower batch_size, or freeze "
                "from the front"
            )
    return found
