"""Chaos: a sweep on a cluster that loses processes, a node, its driver and its head; and a sweep on
one machine, each of whose processes is killed and stopped.

`python tests/chaos.py 1 2 3 [--fake] [--only machine]`, or `make chaos SEEDS="1 2 3"`. Each seed is
a plan of what breaks and when; what a sweep comes to must be the same for all: every trial in the
tables exactly once, no process left, no stray file, nothing listening beyond loopback. On the one
machine every run ends by itself or by one Ctrl-C, and leaves no temporary file.

Trials are real, of a chain of tiny Dense layers, measured by TensorFlow on CPUs; with `--fake` they
take a third of a second, or one, and measure nothing, while planning, scheduling and storing stay
the real ones. Prints a line for each sweep and ends with 1 where something did not hold.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from chaos_checks import planned_ids, problems  # noqa: E402
from chaos_machine import KINDS, Hit, Machine  # noqa: E402
from chaos_scene import Scene  # noqa: E402

STUDY = HERE / "chaos_study.toml"
ALL = (
    "kill_measuring", "kill_measuring", "kill_measuring", "kill_worker", "remove_node",
    "kill_driver", "restart_head",
)  # fmt: skip
_FIRST = 2
_LAST = 24
_TRIAL_S = 180.0
_END_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that breaks, and how many trials are committed by then, at least."""

    what: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a sweep.

    Attributes:
        line: what was done and what came out.
        wrong: what should not be; empty when all is well.
    """

    line: str
    wrong: tuple[str, ...]


def plan_of(seed: int, faults: tuple[str, ...] = ALL) -> tuple[Fault, ...]:
    """The faults in a random order, spread at random over the sweep."""
    chance = random.Random(seed)
    order = chance.sample(faults, len(faults))
    moments = sorted(chance.sample(range(_FIRST, _LAST + 1), len(faults)))
    return tuple(Fault(what=what, at=at) for what, at in zip(order, moments, strict=True))


def disturbed_sweep(seed: int, folder: Path, *, plan: tuple[Fault, ...], fake: bool) -> Outcome:
    """Run the study, break what the plan says, see what came of it."""
    began = time.monotonic()
    scene = Scene(folder, seed=seed, fake=fake)
    try:
        scene.start_cluster()
        scene.start_driver()
        for fault in plan:
            scene.wait_for(
                lambda at=fault.at: scene.committed() >= at, most_s=_TRIAL_S + _END_S / 2,
                what=f"trial {fault.at} and then {fault.what}",
            )  # fmt: skip
            scene.look_who_listens()
            getattr(scene, fault.what)()
        code = scene.driver_ends(most_s=_END_S)
        last = [event for event in scene.events() if event[0] in ("result", "error")][-1:]
        scene.expect_leases_gone()
        scene.end_cluster()
        scene.expect_no_process()
    finally:
        scene.clean_up()
    planned = planned_ids(scene.out, STUDY)
    wrong = [*problems(scene.out, STUDY, scene.charged())]
    if len(planned) < 30:
        wrong.append(f"only {len(planned)} trials are planned")
    if code != 0 and not any(times > 1 for times in scene.charged().values()):
        wrong.append(f"the last driver ended with {code}: {last}")
    wrong += [f"still running: {text}" for text in scene.left_behind]
    wrong += [f"listening: {address}" for address in sorted(scene.open_to_others)]
    starts = sum(event[0] == "stage" and event[2] == "start" for event in scene.events())
    line = (
        f"seed {seed} ({'fake' if fake else 'real'} trials): {'; '.join(scene.done)}. "
        f"{scene.committed()} of {len(planned)} trials in the tables after {starts} starts, "
        f"{len(wrong)} problems, {time.monotonic() - began:.0f} s"
    )
    return Outcome(line=line, wrong=tuple(wrong))


def hits_of(seed: int, kinds: tuple[str, ...] = KINDS) -> tuple[Hit, ...]:
    """Every kind of process killed and stopped, in a random order, at random moments."""
    chance = random.Random(seed)
    both = [(kind, number) for kind in kinds for number in (signal.SIGKILL, signal.SIGSTOP)]
    chance.shuffle(both)
    moments = sorted(chance.sample(range(1, _LAST + 1), len(both)))
    return tuple(
        Hit(kind=kind, number=number, patient=chance.random() < 0.6, at=at)
        for (kind, number), at in zip(both, moments, strict=True)
    )


def disturbed_machine(seed: int, folder: Path, *, hits: tuple[Hit, ...], fake: bool) -> Outcome:
    """Run the study on this machine, hit what the plan says, see what came of it."""
    began = time.monotonic()
    machine = Machine(folder, seed=seed, fake=fake, many=fake and len(hits) > len(KINDS))
    try:
        for hit in hits:
            machine.hit(hit)
        machine.orphan(_LAST + 1)
        machine.finish()
        machine.look_after_the_end()
    finally:
        machine.clean_up()
    planned = planned_ids(machine.out, machine.study)
    found = problems(machine.out, machine.study, machine.charged(), machine.stopped)
    wrong = (*machine.wrong, *found)
    line = (
        f"seed {seed}, one machine ({'fake' if fake else 'real'} trials): "
        f"{'; '.join(machine.done)}. {machine.committed()} of {len(planned)} trials in the tables, "
        f"drivers ended with {machine.codes}, {len(wrong)} problems, "
        f"{time.monotonic() - began:.0f} s"
    )
    return Outcome(line=line, wrong=wrong)


def main() -> int:
    """Every seed in turn; 1 where something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seeds", type=int, nargs="*", default=[1, 2, 3, 4, 5])
    parser.add_argument("--fake", action="store_true", help="trials that measure nothing")
    parser.add_argument("--only", choices=("cluster", "machine"), help="default: both")
    asked = parser.parse_args()
    bad = 0
    for seed in asked.seeds:
        for scene in ("cluster", "machine"):
            if asked.only not in (None, scene):
                continue
            with tempfile.TemporaryDirectory(prefix="frostline-chaos-") as name:
                folder = Path(name)
                outcome = (
                    disturbed_sweep(seed, folder, plan=plan_of(seed), fake=asked.fake)
                    if scene == "cluster"
                    else disturbed_machine(seed, folder, hits=hits_of(seed), fake=asked.fake)
                )
            said = (outcome.line, *(f"  WRONG: {text}" for text in outcome.wrong))
            print(*said, sep="\n", flush=True)
            bad += bool(outcome.wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
