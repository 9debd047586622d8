"""Nothing outside of OUT, scratch and the spool changes, whatever in OUT is a link."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from local_executor import LocalExecutor
from predict_kit import changed, study_text, world, world_facts
from schedule_kit import FAKE, install_fake

from frostline.cli import main
from frostline.errors import FrostlineError, SweepError
from frostline.facts.model_facts import ModelFacts
from frostline.measure.messages import Failed
from frostline.store.outdir import TrialTables
from frostline.store.spool import SPOOL_VARIABLE
from frostline.store.sweep import open_sweep
from frostline.store.table_files import table_file
from frostline.study.study import Study, parse_study
from frostline.sweep.run import run_sweep
from frostline.trace.converter import TraceConverter
from frostline.trace.ops import Trace
from frostline.trial import Trial

PROFILE = Path(__file__).parent / "data" / "profiles" / "graph.xplane.pb"
POLICIES = ("prefix:*", "layer:*")
PASSES = tuple(
    f"{name}_ns"
    for name in ["forward", "activation_gradient", "weight_gradient", "optimizer", "input", "other"]
)
FOREIGN = ".staging/far.example.org.1." + "0" * 32


def inspected(study: Study, _logs: Path) -> Mapping[str, ModelFacts | Failed]:
    return {model.name: world_facts(model.name) for model in study.models}


def asked(*policies: str) -> str:
    return study_text(*policies) + "[measure]\nprofile_steps = 0\n"


def sweep(out: Path, *policies: str) -> None:
    study = parse_study(asked(*policies), check_builders=False)
    run_sweep(study, str(out), make_executor=LocalExecutor, inspect=inspected, process_module=FAKE)


def swept(*policies: str) -> Callable[[Path], int]:
    """A sweep as a command: what it says of a user's mistake, and its exit code."""

    def run(out: Path) -> int:
        try:
            sweep(out, *policies)
        except FrostlineError as error:
            print(f"error: {error}")
            return error.exit_code
        return 0

    return run


def command(name: str, *arguments: str) -> Callable[[Path], int]:
    return lambda out: main([name, str(out), *arguments])


COMMANDS: Mapping[str, Callable[[Path], int]] = {
    "report": command("report"),
    "sweep with nothing to do": swept(*POLICIES, "layer:1"),
    "sweep": swept(*POLICIES, "norms", "suffix:2"),
    "reattribute": command("reattribute"),
    "tensorboard": command("tensorboard"),
    "recommend": command("recommend", "--budget", "0.7"),
    "explain": command("explain", "prefix:2"),
    "diff": command("diff", "prefix:1", "prefix:2"),
    "predict": command("predict", "--freeze", "prefix:3"),
}


class NoTensorBoard:
    """Stands for the server, which takes many seconds to start."""

    def __init__(self, log_dir: Path, *, port: int, log: Path) -> None:
        log.write_text("started")
        self.port = port

    def __enter__(self) -> NoTensorBoard:
        return self

    def __exit__(self, *_: object) -> None: ...

    def runs_on(self, _seconds: float) -> bool:
        return False


def no_figures(sections: object, folder: Path) -> None:
    for name in ("net-a", "net-b"):
        (folder / f"{name}.svg").write_text("<svg/>")
        (folder / f"{name}.png").write_bytes(b"png")


@cache
def recorded_trace() -> Trace:
    with TraceConverter() as converter:
        return converter.convert(PROFILE)


@contextmanager
def surroundings(place: Path) -> Iterator[pytest.MonkeyPatch]:
    """Scratch, spool, home and working directory below a folder, and a fake measuring process."""
    trace = recorded_trace()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("scratch", "home", "cwd"):
            (place / name).mkdir()
        install_fake(place / "fake", patch)
        patch.setenv("HOME", str(place / "home"))
        patch.setenv("TMPDIR", str(place / "scratch"))
        patch.setenv(SPOOL_VARIABLE, str(place / "spool"))
        patch.setattr(tempfile, "tempdir", str(place / "scratch"))
        patch.chdir(place / "cwd")
        patch.setattr("frostline.tensorboard.server.TensorBoard", NoTensorBoard)
        patch.setattr("frostline.reporting.write.render_figures", no_figures)
        patch.setattr(TraceConverter, "convert", lambda *_args, **_options: trace)
        yield patch


def trace_path(trial_id: str) -> str:
    return f"tensorboard/{trial_id}/plugins/profile/{trial_id}/host.xplane.pb"


def passes_and_a_trace(trial: Trial, rows: TrialTables) -> TrialTables:
    traced = trace_path(trial.trial_id) if trial.policy == "layer:3" else None
    return changed(rows, trace_path=traced, **dict.fromkeys(PASSES, 1_000))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OUT with everything that a program writes there."""
    place = tmp_path_factory.mktemp("whole")
    out = place / "out"
    with surroundings(place):
        world(out, text=asked(*POLICIES), tamper=passes_and_a_trace)
        ids = {row.policy: row.trial_id for row in open_sweep(str(out)).trial_rows()}
        traced = out / trace_path(ids["layer:3"])
        traced.parent.mkdir(parents=True)
        shutil.copyfile(PROFILE, traced)
        # A trial that the fake process measures, with its log and its events.
        (out / table_file("trials", ids["layer:4"])).unlink()
        sweep(out, *POLICIES, "layer:1")
        assert main(["report", str(out)]) == 0
        (out / FOREIGN / "0").mkdir(parents=True)
    return out


def listing(place: Path) -> dict[str, object]:
    """Everything below a folder outside of OUT, scratch and the spool."""
    apart = {place / name for name in ("out", "itself", "scratch", "spool", "fake")}
    found: dict[str, object] = {}
    for path in sorted(place.rglob("*")):
        if apart.isdisjoint((path, *path.parents)):
            seen = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
            found[str(path)] = (seen.st_mode, seen.st_uid, seen.st_mtime_ns, content)
    return found


def names_of_each_kind(out: Path) -> dict[str, list[str]]:
    """Names in an OUT that may all be links at once; of what is there once a trial, one is enough.

    Files, and the folders of each depth.
    """
    kinds: dict[str, str] = {}
    for path in sorted(out.rglob("*"), reverse=True):
        name = path.relative_to(out).as_posix()
        kinds[re.sub(r"net-\w+-[0-9a-f]{10}", "T", name)] = name
    found: dict[str, list[str]] = {}
    for name in kinds.values():
        depth = name.count("/") if (out / name).is_dir() else "files"
        found.setdefault(str(depth), []).append(name)
    return found


def plant(out: Path, name: str, target: Path) -> None:
    """Move what has a name in OUT to a place outside, where more lies, and leave a link."""
    (out / name).rename(target)
    (out / name).symlink_to(target)
    if target.is_dir():
        (target / FOREIGN).mkdir(parents=True)
        (target / "notes.md").write_text("mine")
        for path in target.rglob("far.*"):
            os.utime(path, (0, 0))


def mend(link: Path) -> None:
    """Do what the message says: something of its own in the place of the link."""
    target = link.readlink()
    link.unlink()
    if target.is_dir():
        planted = shutil.ignore_patterns(".staging", "notes.md")
        shutil.copytree(target, link, ignore=planted)
    else:
        shutil.copyfile(target, link)


@pytest.mark.parametrize("kind", ["files", "0", "1", "2", "3", "4"])
def test_an_out_full_of_links(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """GIVEN an OUT full of links WHEN every command runs THEN only OUT changes.

    A command that needs what a link stands for says so, and works when it has been told.
    """
    out = shutil.copytree(whole, tmp_path / "out")
    (tmp_path / "outside").mkdir()
    links = [out / name for name in names_of_each_kind(whole)[kind]]
    for number, link in enumerate(links):
        plant(out, str(link.relative_to(out)), tmp_path / "outside" / str(number))
    with surroundings(tmp_path):
        before = listing(tmp_path)
        for called, run in COMMANDS.items():
            while True:
                code = run(out)
                said = "".join(capsys.readouterr())
                assert listing(tmp_path) == before, f"{called}: {said}"
                assert list((tmp_path / "scratch").iterdir()) == []
                if code == 0:
                    break
                named = [link for link in links if f"{link} is a symbolic link" in said]
                assert len(named) == 1, f"{called}: {said}"
                mend(named[0])
                links.remove(named[0])


def test_an_out_full_of_hard_links(whole: Path, tmp_path: Path) -> None:
    """GIVEN files in OUT that are also files elsewhere WHEN they are replaced THEN only in OUT."""
    out = shutil.copytree(whole, tmp_path / "out")
    shutil.copytree(out, tmp_path / "outside", copy_function=os.link)
    with surroundings(tmp_path):
        before = listing(tmp_path)
        for called, run in COMMANDS.items():
            assert run(out) == 0
            assert listing(tmp_path) == before, called


def test_an_out_that_is_a_link_is_as_good_as_any(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.symlink_to(shutil.copytree(whole, tmp_path / "itself"))
    with surroundings(tmp_path):
        before = listing(tmp_path)
        for called, run in COMMANDS.items():
            code = run(out)
            said = "".join(capsys.readouterr())
            assert code == 0, f"{called}: {said}"
            assert called != "reattribute" or ": attributed again" in said
            assert listing(tmp_path) == before
            assert list((tmp_path / "scratch").iterdir()) == []


def test_an_out_that_is_a_link_to_nothing_says_so(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SweepError, match=r"out is a link to \S+elsewhere, which does not exist"):
        sweep(tmp_path / "out", *POLICIES)
    assert not (tmp_path / "elsewhere").exists()
