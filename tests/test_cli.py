"""The command line: exit codes, what goes where, and results that fit eighty columns."""

import gzip
import io
import json
import re
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console
from schedule_kit import listening

from frostline.analyse import TimeSplit, summarise
from frostline.cli import main
from frostline.cli.progress import SweepProgress
from frostline.cli.results import result, time_words
from frostline.errors import StorageError
from frostline.measure.messages import Failed
from frostline.results.outcome import TrialOutcome
from frostline.store.sweep import open_sweep
from frostline.sweep.result import SweepResult
from frostline.tensorboard.server import TensorBoard, profile_sessions, session_link

MakeSweep = Callable[..., Path]


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for command in ("plan", "sweep", "report", "explain", "diff", "tensorboard", "doctor"):
        assert command in said


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "frostline 0.2.0\n"


@pytest.mark.parametrize("wrong", [[], ["swep"], ["sweep"], ["report", "a", "b"], ["plan", "-x"]])
def test_wrong_use_is_two(wrong, capsys):
    assert main(wrong) == 2
    assert "Usage" in "".join(capsys.readouterr())


def test_a_users_mistake_is_one_message_on_standard_error(tmp_path: Path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert str(tmp_path) in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("raised", "code"), [(StorageError("the disk is full"), 1), (KeyboardInterrupt(), 130)]
)
def test_errors_and_interruptions_have_codes(monkeypatch, raised, code, capsys):
    def fail(_: str):
        raise raised

    monkeypatch.setattr("frostline.store.sweep.open_sweep", fail)
    assert main(["report", "out"]) == code
    assert ("the disk is full" in capsys.readouterr().err) == (code == 1)


def test_a_defect_of_the_program_keeps_its_traceback(monkeypatch):
    def fail(_: str):
        raise RuntimeError("a defect")

    monkeypatch.setattr("frostline.store.sweep.open_sweep", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        main(["report", "out"])


def test_names_that_look_like_markup_are_printed_as_they_are(monkeypatch, capsys):
    def fail(_: str):
        raise StorageError("cannot write [red]out[/red]: regex:block[12]_.* [/]")

    monkeypatch.setattr("frostline.store.sweep.open_sweep", fail)
    assert main(["report", "out"]) == 1
    assert "[red]out[/red]: regex:block[12]_.* [/]" in capsys.readouterr().err


def test_report_shows_the_result_and_says_where_the_page_is(make_sweep: MakeSweep, capsys):
    out = make_sweep()
    assert main(["report", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == f"Report: {out}/report/index.html"
    assert (out / "report" / "index.html").is_file()


def test_the_result_fits_eighty_columns_and_leaves_nothing_out(make_sweep: MakeSweep):
    summary = summarise(open_sweep(str(make_sweep())).trial_rows())
    console = Console(file=io.StringIO(), width=80)
    console.print(result(summary))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    for row in (item.row for group in summary.groups for item in group.trials):
        assert row.is_control or row.status == "failed" or f"{row.policy} " in text
    assert "all_but_head 93% 9 16.2 2.60x [2.50, 2.72] faster" in text
    assert "layer:1 0.37% 1 41.8 1.00x [0.98, 1.03] no difference" in text
    assert "<b>net/conv2</b>/moving_mean changed" in text
    assert "Noise floor ±2.0%" in text
    shares = [
        float(each)
        for each in re.findall(r"^(?:prefix|suffix).* ([\d.]+)% ", "\n".join(lines), re.M)
    ]
    assert len(shares) == 10
    assert shares == sorted(shares)


def test_the_time_split_is_one_sentence():
    split = TimeSplit(
        wall_s=100, slots=1, stepping_s=60, build_s=10, compile_s=15, check_s=3, profile_s=2,
        convert_s=4, rest_s=6,
    )  # fmt: skip
    assert time_words(split) == (
        "1 min 40 s: stepping 1 min 5 s, building 10 s, compiling 15 s, "
        "converting profiles 4.0 s, rest 6.0 s; overhead 10%."
    )


STUDY = """
name = "demo"
[[model]]
name = "net"
builder = "frostline.models:mlp_sequential"
[freeze]
policies = ["prefix:*"]
"""


@pytest.fixture
def study(tmp_path: Path) -> str:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return str(path)


def swept(*, failed: int) -> SweepResult:
    return SweepResult(
        planned=17, finished_before=0, ok=17 - failed, failed=failed, wall_s=61.0,
        ray_start_s=2.0, inspect_s=3.0,
    )  # fmt: skip


def test_a_sweep_ends_with_its_result_and_where_things_are(
    monkeypatch, make_sweep: MakeSweep, sweep_rows, study, capsys
):
    later = datetime.now(UTC) + timedelta(hours=1)
    out = make_sweep([row | {"started_at": later} for row in sweep_rows])

    def run(asked, where, *, address, listener):
        assert (asked.name, where.reveal(), address) == ("demo", str(out), None)
        listener.on_planned({"t": "net prefix:1"}, 16)
        listener.on_outcome(outcome("t"))
        return swept(failed=1)

    monkeypatch.setattr("frostline.sweep.run.run_sweep", run)
    assert main(["sweep", study, "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "16 of 17 trials are there already; resuming.",
        "[17/17] net prefix:1  1.50x [1.40, 1.60]",
    ]
    assert "Fastest is all_but_head" in " ".join(said.out.split())
    assert "17 trials in 1 min 1 s: stepping 39 s" in " ".join(said.out.split())
    assert said.out.splitlines()[-2:] == [
        f"Results: {out}",
        f"Report:  {out}/report/index.html",
    ]


def test_a_sweep_without_failures_is_zero_and_earlier_trials_take_no_time(
    monkeypatch, make_sweep: MakeSweep, make_row, study, capsys
):
    out = make_sweep([make_row("prefix:1", [0], 1.5)])
    monkeypatch.setattr("frostline.sweep.run.run_sweep", lambda *_, **__: swept(failed=0))
    assert main(["sweep", study, "--out", str(out)]) == 0
    assert "trials in" not in capsys.readouterr().out


def test_an_interrupted_sweep_is_130_and_says_how_to_go_on(monkeypatch, study, tmp_path, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("frostline.sweep.run.run_sweep", interrupted)
    assert main(["sweep", study, "--out", str(tmp_path / "out")]) == 130
    assert "run the same command again to resume" in " ".join(capsys.readouterr().err.split())


def test_a_wrong_study_is_two_and_names_the_nearest_key(study, tmp_path, capsys):
    Path(study).write_text(STUDY + "polices = []\n")
    assert main(["sweep", study, "--out", str(tmp_path / "out")]) == 2
    assert "polic" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_plan_of_what_cannot_work_is_two_and_says_what_to_change(study, monkeypatch, capsys):
    def refused(models: Any, *_: object, **__: object) -> dict[str, Failed]:
        said = "input 'x' takes strings: give the model entry `data`"
        return {each.name: Failed(stage="build", kind="NeedsData", message=said) for each in models}

    monkeypatch.setattr("frostline.measure.inspect_client.inspect_models", refused)
    assert main(["plan", study]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "nothing of the study can run: model `" in said
    assert "`: input 'x' takes strings: give the model entry `data`" in said
    assert "failed in" not in said


def outcome(trial_id: str, **changes: object) -> TrialOutcome:
    values: dict = {
        "trial_id": trial_id, "model": "net", "policy": trial_id, "status": "ok", "attempts": 1,
        "speedup": 1.5, "speedup_low": 1.4, "speedup_high": 1.6,
    }  # fmt: skip
    return TrialOutcome(**(values | changes))


def run_three(console: Console) -> str:
    with SweepProgress(console) as progress:
        progress.on_planned({"a": "net prefix:1", "b": "net norms", "c": "net [b]"}, 2)
        progress.on_stage("a", "measure")
        progress.on_notice("one worker left")
        progress.on_outcome(outcome("a"))
        progress.on_outcome(outcome("b", error_stage="profile"))
        failed = {"status": "failed", "error_stage": "build", "error_message": "no such file"}
        progress.on_outcome(outcome("c", speedup=None, **failed))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_without_a_terminal_each_trial_is_a_line():
    said = run_three(Console(file=io.StringIO(), width=80))
    assert said.splitlines() == [
        "2 of 5 trials are there already; resuming.",
        "note: one worker left",
        "[3/5] net prefix:1  1.50x [1.40, 1.60]",
        "[4/5] net norms  1.50x [1.40, 1.60] (no profile)",
        "[5/5] net [b]  failed in build: no such file",
    ]


def test_a_reason_that_trials_share_is_told_once():
    console = Console(file=io.StringIO(), width=80)
    failed = {"status": "failed", "error_stage": "trace", "speedup": None}
    with SweepProgress(console) as progress:
        progress.on_planned({each: f"net {each}" for each in "abc"}, 0)
        progress.on_outcome(outcome("a", error_message="no room", **failed))
        progress.on_outcome(outcome("b", error_message="no room", **failed))
        progress.on_outcome(outcome("c", error_message="no data", **failed))
    assert console.file.getvalue().splitlines()[1:] == [  # type: ignore[attr-defined]
        "[1/3] net a  failed in trace: no room",
        "[2/3] net b  failed for the same reason as trial 1",
        "[3/3] net c  failed in trace: no data",
    ]


def test_a_trial_whose_row_was_found_is_no_failure_for_nothing():
    console = Console(file=io.StringIO(), width=80)
    found = {"earlier": True, "speedup": None, "speedup_low": None, "speedup_high": None}
    with SweepProgress(console) as progress:
        progress.on_planned({each: f"net {each}" for each in "abc"}, 0)
        progress.on_outcome(outcome("a", status="failed", **found))
        progress.on_outcome(outcome("b", status="failed", **found))
        progress.on_outcome(outcome("c", **found))
    assert console.file.getvalue().splitlines()[1:] == [  # type: ignore[attr-defined]
        "[1/3] net a  failed and is stored; `frostline status` says why",
        "[2/3] net b  failed and is stored; `frostline status` says why",
        "[3/3] net c  is stored",
    ]


def test_on_a_terminal_a_bar_stands_in_for_the_lines():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    said = run_three(console)
    assert "net prefix:1  1.50x" not in said
    assert "latest results" in said
    assert re.search(r"net norms +1\.50x +\[1\.40, 1\.60\]", said)
    assert "failed in build: no such file" in said
    assert "starting Ray" in said
    assert "measure  net prefix:1" in said
    assert "5/5" in said
    assert "1 failed" in said


def test_the_bar_fits_eighty_columns_and_lists_only_some_running_trials():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with SweepProgress(console) as progress:
        progress.on_planned({str(n): f"model-{n} " + "x" * 90 for n in range(1234)}, 0)
        for n in range(9):
            progress.on_stage(str(n), "profile")
        drawn = console.file.getvalue()  # type: ignore[attr-defined]
    last = re.split(r"\x1b\[2K", drawn)[-1].splitlines()
    assert max(map(len, last)) <= 80
    assert "0/1234" in drawn
    assert sum("model-" in line for line in last) == 4
    assert "and 5 more" in last[-1]


def test_nothing_left_to_do_is_said():
    console = Console(file=io.StringIO(), width=80)
    SweepProgress(console).on_planned({}, 7)
    assert console.file.getvalue() == (  # type: ignore[attr-defined]
        "All 7 trials are there already; nothing to do.\n"
    )


def test_tensorboard_refuses_what_it_cannot_read(tmp_path: Path, capsys):
    assert main(["tensorboard", str(tmp_path / "nowhere")]) == 2
    assert main(["tensorboard", "s3://bucket/out"]) == 2
    assert "copy the sweep here first" in capsys.readouterr().err


def test_sessions_are_named_as_the_plugin_names_them(tmp_path: Path):
    for trial in ("b-2", "a-1"):
        folder = tmp_path / trial / "plugins" / "profile" / trial
        folder.mkdir(parents=True)
        (folder / "host.xplane.pb").write_bytes(b"")
    (tmp_path / "no-trace" / "plugins" / "profile" / "no-trace").mkdir(parents=True)
    assert profile_sessions(tmp_path) == ("a-1/a-1", "b-2/b-2")
    assert session_link(6006, "a@0.5#2/a") == (
        "http://127.0.0.1:6006/?run=a%400.5%232/a&tag=overview_page#profile"
    )


@pytest.mark.tf
def test_tensorboard_lists_the_sessions_on_loopback_only_and_ends(tmp_path: Path):
    folder = tmp_path / "tensorboard" / "a" / "plugins" / "profile" / "a"
    folder.mkdir(parents=True)
    (folder / "host.xplane.pb").write_bytes(b"")
    before = psutil.Process().children(recursive=True)
    with TensorBoard(tmp_path / "tensorboard", log=tmp_path / "log") as server:
        address = f"http://127.0.0.1:{server.port}/data/plugin/profile/runs"
        with urllib.request.urlopen(address, timeout=60) as reply:
            assert json.loads(gzip.decompress(reply.read())) == ["a/a"]
        # TensorBoard gives everybody the folder that it keeps below the one for temporary files.
        assert (tmp_path / ".tensorboard-info").is_dir()
        after = psutil.Process().children(recursive=True)
        children = [child for child in after if child not in before]
        assert listening(children) == {"127.0.0.1"}
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
