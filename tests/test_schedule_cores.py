"""Disjoint cores for leases, and how chunks are cut."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_kit import MODEL, SETTING, trial

from frostline.errors import UsageError
from frostline.plan.trials import TrialGroup
from frostline.schedule.chunks import chunks_of
from frostline.schedule.cores import by_topology, claim_cores, holders, pinned, runtime_folder


def test_claims_are_disjoint_and_none_when_too_few_are_free(tmp_path: Path) -> None:
    first = claim_cores(2, allowed=[0, 1, 2], folder=tmp_path)
    assert first is not None
    assert claim_cores(2, allowed=[0, 1, 2], folder=tmp_path) is None
    second = claim_cores(1, allowed=[0, 1, 2], folder=tmp_path)
    assert second is not None
    assert not set(first.cores) & set(second.cores)
    first.release()
    assert claim_cores(2, allowed=[0, 1, 2], folder=tmp_path) is not None


def test_a_failed_claim_holds_nothing(tmp_path: Path) -> None:
    held = claim_cores(1, allowed=[0], folder=tmp_path)
    assert held is not None
    assert claim_cores(3, allowed=[0, 1, 2], folder=tmp_path) is None
    assert claim_cores(2, allowed=[1, 2], folder=tmp_path) is not None


def test_the_cores_of_a_killed_process_are_free_again(tmp_path: Path) -> None:
    code = (
        "import time; from pathlib import Path; from frostline.schedule.cores import claim_cores\n"
        f"claim = claim_cores(1, allowed=[0], folder=Path({str(tmp_path)!r}))\n"
        "print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert claim_cores(1, allowed=[0], folder=tmp_path) is None
        assert holders(folder=tmp_path) == (process.pid,)
        process.kill()
    assert claim_cores(1, allowed=[0], folder=tmp_path) is not None


def test_more_cores_than_there_are_is_a_mistake_not_a_wait(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cpus_per_trial"):
        claim_cores(3, allowed=[0, 1], folder=tmp_path)


def test_threads_of_a_physical_core_stand_together(tmp_path: Path) -> None:
    for cpu, core in enumerate([0, 1, 0, 1]):  # as Linux numbers two cores with two threads
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "core_id").write_text(f"{core}\n")
        (topology / "physical_package_id").write_text("0\n")

    assert by_topology([0, 1, 2, 3], tmp_path) == [0, 2, 1, 3]


def test_children_of_a_pinned_block_run_on_its_cores() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with pinned([core]):
        code = "import os; print(os.sched_getaffinity(0))"
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert shown.stdout.decode().strip() == str({core})
    assert os.sched_getaffinity(0) == before


def test_a_runtime_folder_open_to_others_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = runtime_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(UsageError, match="XDG_RUNTIME_DIR"):
        runtime_folder()


def groups(sizes: list[int]) -> list[TrialGroup]:
    return [
        TrialGroup(
            model=MODEL,
            setting=SETTING,
            trials=tuple(trial(f"p{number}:{index}") for index in range(size)),
        )
        for number, size in enumerate(sizes)
    ]


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    slots=st.integers(1, 16),
    data=st.data(),
)
def test_chunks_hold_what_is_left_once_and_in_order(
    sizes: list[int], slots: int, data: st.DataObject
) -> None:
    planned = groups(sizes)
    ids = [one.trial_id for group in planned for one in group.trials]
    done = data.draw(st.sets(st.sampled_from(ids)))
    chunks = chunks_of(planned, done=done, slots=slots)

    assert [one.trial_id for chunk in chunks for one in chunk.trials] == [
        one for one in ids if one not in done
    ]
    for chunk in chunks:
        assert chunk.trials
        assert len({one.policy.split(":")[0] for one in chunk.trials}) == 1
    if slots == 1:
        assert len(chunks) <= len(sizes)


def test_one_group_keeps_all_slots_busy() -> None:
    assert len(chunks_of(groups([40]), done=(), slots=4)) == 8


@pytest.mark.parametrize(
    ("trials", "slots", "chunks"), [(1000, 2, 6), (400, 2, 4), (300, 1, 2), (10_000, 4, 52)]
)
def test_chunks_end_where_a_process_would_be_replaced_and_come_out_even(
    trials: int, slots: int, chunks: int
) -> None:
    cut = chunks_of(groups([trials]), done=(), slots=slots, most=200)
    assert len(cut) == chunks
    assert max(len(each.trials) for each in cut) <= 200
    assert len(cut) % slots == 0
