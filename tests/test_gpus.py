"""The GPUs of a machine and of a cluster, and what a study makes of them."""

from __future__ import annotations

import pynvml
import pytest
from gpu_kit import GIB, FakeGpu, FakeNvml, no_nvml, parameters

from frostline.errors import StudyError, SweepError, TrialError
from frostline.gpus import Gpu, driver_gpus, first_gpus, gpus_here
from frostline.machine import this_machine
from frostline.plan.trials import plan_trials
from frostline.schedule.ray.cluster_gpus import of_machine_types
from frostline.store.manifest import Manifest, with_run
from frostline.study.study import Study, parse_study
from frostline.sweep.resolution import notices_of, refuse_other_machine, resolved

TWO = (FakeGpu(uuid="GPU-a"), FakeGpu(uuid="GPU-b"))
STUDY = """
name = "s"
[[model]]
name = "net"
builder = "mine:net"
[freeze]
policies = ["prefix:1"]
"""
SAYS_ONE = STUDY + "[resources]\ngpus_per_trial = 1\n"


def study(text: str = STUDY) -> Study:
    return parse_study(text, check_builders=False)


def manifest(**changes: object) -> Manifest:
    """That of an OUT that begins now."""
    begun = with_run(
        None, where="out", name="s", digest="d", versions={}, machine={}, trials_planned=3
    )
    return begun.model_copy(update=changes)


def begun_before(**changes: object) -> Manifest:
    """That of an OUT from before stopping rules and numbers of GPUs were recorded."""
    old = manifest().model_dump(exclude={"stopping", "gpus_per_trial", "gpus_found"})
    return Manifest.model_validate(old | changes)


def never() -> int:
    raise AssertionError("nobody needs to know what this machine has")


def test_the_fake_has_the_signatures_of_nvml() -> None:
    fake = FakeNvml(())
    for name in (each for each in dir(fake) if each.startswith("nvml")):
        theirs = parameters(getattr(pynvml, name))
        assert parameters(getattr(fake, name))[: len(theirs)] == theirs[:2], name


def test_gpus_are_those_of_the_driver_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(TWO).install(monkeypatch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (first, _) = driver_gpus() or ()
    assert first == Gpu(
        name="NVIDIA H200", uuid="GPU-a", memory_bytes=TWO[0].memory_bytes, processes=0
    )
    for visible, count in ((None, 2), ("1", 1), ("", 0), ("-1", 0), ("GPU-a, GPU-b", 2)):
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert gpus_here() == count


def test_what_the_driver_does_not_tell_of_a_gpu_hides_none(monkeypatch) -> None:
    refused = ("nvmlDeviceGetMemoryInfo", "nvmlDeviceGetComputeRunningProcesses")
    FakeNvml(TWO, refused=refused).install(monkeypatch)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (first, _) = driver_gpus() or ()
    assert first == Gpu(name="NVIDIA H200", uuid="GPU-a", memory_bytes=None, processes=None)
    assert this_machine().gpus == 2
    assert this_machine().gpu_memory_bytes is None


def test_a_machine_is_described_by_the_gpus_that_are_visible(monkeypatch) -> None:
    small = FakeGpu(uuid="GPU-small", name="NVIDIA T400", memory_bytes=2 * GIB)
    FakeNvml((small, FakeGpu(uuid="GPU-large", memory_bytes=80 * GIB))).install(monkeypatch)
    both = ("NVIDIA H200", "NVIDIA T400")
    for visible, names, memory_bytes in (
        ("1", both[:1], 80 * GIB),
        ("GPU-large", both[:1], 80 * GIB),
        ("0,1", both, 2 * GIB),
        ("MIG-of-one", both, 2 * GIB),
        ("", (), None),
    ):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        here = this_machine()
        assert (here.gpu_names, here.gpu_memory_bytes) == (names, memory_bytes), visible


def test_without_a_driver_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    no_nvml(monkeypatch)
    assert driver_gpus() is None
    assert gpus_here() == 0


def test_a_new_out_uses_one_gpu_where_there_are_any() -> None:
    for there, number in ((0, 0), (1, 1), (8, 1)):
        found = resolved(study(), None, None, lambda there=there: there)
        assert (found.study.gpus, found.gpus_found) == (number, True)
        assert found.study.measure_spec().stopping == "exact_relative_half_width"
    said = resolved(study(SAYS_ONE), None, None, never)
    assert (said.study.gpus, said.gpus_found) == (1, False)


def test_an_out_keeps_the_number_that_it_was_begun_with() -> None:
    kept = manifest(gpus_per_trial=1, gpus_found=True)
    assert resolved(study(), kept, STUDY, never).study.gpus == 1
    explicit = resolved(study(SAYS_ONE), manifest(gpus_per_trial=0), STUDY, never)
    assert (explicit.study.gpus, explicit.gpus_found) == (1, False)


def test_an_out_with_bootstrapped_intervals_goes_on_with_them() -> None:
    kept = manifest(gpus_per_trial=0).model_copy(update={"stopping": "relative_half_width"})
    found = resolved(study(), kept, STUDY, never)
    assert found.study.measure_spec().stopping == "relative_half_width"
    (told,) = notices_of(found, lambda: 0)
    assert "intervals were bootstrapped" in told


@pytest.mark.parametrize(("kept", "gpus"), [(STUDY, 0), (SAYS_ONE, 1), ("[", 0), (None, 0)])
def test_an_older_out_keeps_what_its_study_said(kept: str | None, gpus: int) -> None:
    found = resolved(study(), begun_before(), kept, never)
    assert (found.study.gpus, found.gpus_found) == (gpus, False)
    refuse_other_machine(found, "out", never)
    told = list(notices_of(found, lambda: 2))
    assert "target_ci was the half-width of the interval itself" in told[0]
    assert [("goes on on CPU cores" in text) for text in told[1:]] == [True] * (gpus == 0)


def test_the_number_survives_further_runs_of_an_older_out() -> None:
    found = resolved(study(), begun_before(), SAYS_ONE, never)
    again = with_run(
        begun_before(), where="out", name="s", digest="d", versions={}, machine={},
        trials_planned=3, stopping=found.study.stopping, gpus_per_trial=found.study.gpus,
        gpus_found=found.gpus_found,
    )  # fmt: skip
    third = resolved(study(), again, STUDY, never)
    assert (third.study.gpus, third.study.stopping) == (1, "half_width")
    refuse_other_machine(third, "out", never)


@pytest.mark.parametrize(
    ("gpus", "there", "advice"),
    [(1, 0, "go on where there are GPUs"), (0, 1, "set gpus_per_trial = 0")],
)
def test_the_other_kind_of_machine_is_refused(gpus: int, there: int, advice: str) -> None:
    begun = manifest(gpus_per_trial=gpus, gpus_found=True)
    found = resolved(study(), begun, STUDY, never)
    with pytest.raises(SweepError, match=advice):
        refuse_other_machine(found, "out", lambda: there)
    refuse_other_machine(found, "out", lambda: gpus)
    said = resolved(study(STUDY + f"[resources]\ngpus_per_trial = {gpus}\n"), begun, STUDY, never)
    refuse_other_machine(said, "out", never)


@pytest.mark.parametrize("given", ['"Auto"', "-1", "65", "true", "0.5", "[1]"])
def test_other_numbers_of_gpus_are_refused_with_what_is_valid(given: str) -> None:
    with pytest.raises(StudyError, match='must be a whole number from 0 to 64, or "auto"'):
        study(STUDY + f"[resources]\ngpus_per_trial = {given}\n")


def test_ids_hold_the_number_and_the_rule() -> None:
    """A study without the key has the ids of 0 GPUs; under the former rule those of before."""
    from schedule_kit import facts

    def ids(asked: Study) -> set[str]:
        return {trial.trial_id for trial in plan_trials(asked, {"net": facts()}).trials}

    zero = study(STUDY + "[resources]\ngpus_per_trial = 0\n")
    here = resolved(study(), None, None, lambda: 0).study
    there = resolved(study(), None, None, lambda: 1).study
    before = resolved(study(), begun_before(), STUDY, never).study
    assert ids(here) == ids(zero)
    assert ids(there) == ids(study(SAYS_ONE))
    assert ids(here).isdisjoint(ids(there))
    assert ids(here).isdisjoint(ids(before))


AWS = {
    "max_workers": 4,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 0}},
        "l4": {"max_workers": 2, "resources": {"CPU": 8, "GPU": 1}},
        "big": {"resources": {"CPU": 96, "GPU": 8}},
    },
}


def test_a_cluster_has_the_gpus_that_its_autoscaler_may_start() -> None:
    assert of_machine_types(AWS) == 2 * 1 + 4 * 8
    assert of_machine_types(AWS | {"max_workers": 0}) == 0
    cpus = {"head": {"resources": {"CPU": 4}}, "w": {"max_workers": 3, "resources": {"CPU": 8}}}
    assert of_machine_types(AWS | {"available_node_types": cpus}) == 0
    assert of_machine_types({}) == 0


@pytest.mark.tf
def test_the_state_of_a_trials_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN two GPUs THEN the slower clock, the hotter one, both powers and all reasons count."""
    from frostline.measure.device_state import device_state

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    quiet = FakeGpu(uuid="GPU-a", milliwatts=300_000)
    hot = FakeGpu(
        uuid="GPU-b", clock_mhz=1200, temperature_c=91, milliwatts=200_500, reasons=[0x24]
    )
    FakeNvml([quiet, hot]).install(monkeypatch)
    found = device_state()
    assert found is not None
    assert (found.clock_mhz, found.temperature_celsius, found.power_watts) == (1200, 91, 500.5)
    assert found.throttle_reasons == ("power_cap", "thermal_slowdown")
    assert found.throttled

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")
    found = device_state()
    assert found is not None
    assert (found.throttle_reasons, found.throttled) == ((), False)


@pytest.mark.tf
@pytest.mark.parametrize(
    ("mask", "throttled"),
    [(0x1, False), (0x2, False), (0x4, False), (0x8, True), (0x20, True), (0x40, True),
     (0x80, True), (0x100, False), (0x44, True)],
)  # fmt: skip
def test_heat_and_protection_throttle_a_gpu_and_its_power_cap_does_not(
    mask: int, throttled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frostline.measure.device_state import device_state

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    FakeNvml([FakeGpu(reasons=[mask])]).install(monkeypatch)
    found = device_state()
    assert found is not None
    assert found.throttled is throttled
    assert found.throttle_reasons


@pytest.mark.tf
def test_a_trial_does_not_pass_a_cpu_off_as_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN a driver with a GPU and a TensorFlow without CUDA THEN the baseline is refused."""
    import tensorflow as tf
    from schedule_kit import MEASURE, MODEL, SETTING

    from frostline.measure.baseline import WarmBaseline
    from frostline.measure.messages import OpenGroup

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow sees a GPU here")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    FakeNvml([FakeGpu()]).install(monkeypatch)
    request = OpenGroup(model=MODEL, setting=SETTING, measure=MEASURE, log_path="/dev/null")
    with pytest.raises(TrialError, match=r"TensorFlow sees none: pip install '\.\[gpu\]'") as error:
        WarmBaseline(request, lambda _stage: None)
    assert error.value.kind == "NoGpu"


@pytest.mark.tf
def test_what_the_driver_does_not_tell_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    from frostline.measure.device_state import device_state

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    refused = ["nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetPowerUsage"]
    FakeNvml([FakeGpu()], refused=refused).install(monkeypatch)
    found = device_state()
    assert found is not None
    assert (found.clock_mhz, found.power_watts) == (1980, None)
    assert (found.throttle_reasons, found.throttled) == (None, None)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device_state() is None, "the trial holds CPU cores"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    no_nvml(monkeypatch)
    assert device_state() is None


@pytest.mark.parametrize(
    ("visible", "count", "given"),
    [(None, 0, ""), (None, 2, "0,1"), ("3, 1", 1, "3"), ("GPU-ab,GPU-cd", 2, "GPU-ab,GPU-cd")],
)
def test_a_process_gets_the_first_of_the_visible_gpus(
    visible: str | None, count: int, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert first_gpus(count) == given
