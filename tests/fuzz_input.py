"""One input of the fuzzer: a damaged OUT, study or command line, a command, and what it must keep.

In: a seed, and a folder with sound sweeps. Out: what was wrong, or nothing. A command ends with 0,
1 or 2, without a traceback; it prints nothing that would act on a terminal, and JSON that is JSON;
it changes nothing outside of OUT, and a command that only reads changes nothing at all.
"""

from __future__ import annotations

import importlib
import io
import json
import random
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import fuzz_words as words
from fuzz_damage import damage_out
from fuzz_surroundings import captured, caught, digest, surroundings
from predict_kit import world
from test_any_sweep import profiled

from frostline.cli import main
from frostline.visible import UNSEEN

HERE = Path(__file__).parent
STUDIES = HERE.parent / "studies"
READERS = ("explain", "diff", "predict", "recommend", "compare", "tensorboard")
WRITERS = ("report", "reattribute", "export", "sweep")
_PADDED = 5_000
"""So many blanks at the end of a line are no layout: piped output has no width to be filled."""
_STUDY = """
name = "world"
[[model]]
name = "net"
builder = "frostline.models:mlp_sequential"
[train]
batch_size = [8]
[freeze]
policies = ["prefix:*", "regex:l[12]"]
[resources]
cpus_per_trial = 1
[run]
examples = 1000
epochs = 3
watts = 65
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of an input.

    Attributes:
        seed, kind: which it was.
        said: what it was, in words.
        code: the exit code; None where an exception came out.
        told: the end of what was printed on standard error.
        wrong: what was wrong; empty: nothing.
    """

    seed: int
    kind: str
    said: str
    code: int | None
    told: str
    wrong: str


def import_everything() -> None:
    """What the commands import when they need it, so that no input is charged for it."""
    for name in (
        "explanation.explain", "difference.diff", "prediction", "recommendation.recommend",
        "reporting.make", "sweep.run", "sweep.reattribute", "submit.access", "tensorboard.server",
        "cli.results", "comparison.compare", "comparison.terminal", "exporting",
    ):  # fmt: skip
        importlib.import_module(f"frostline.{name}")


def prepare(folder: Path) -> None:
    """Write the sound sweeps that are damaged later, each of another kind."""
    world(folder / "world", text=_STUDY, tamper=lambda _trial, rows: profiled(rows))
    shutil.copytree(HERE / "data" / "sweep_v1", folder / "v1")
    shutil.copytree(HERE / "data" / "sweep_v2", folder / "v2")
    traced = folder / "traced"
    world(traced, text=_STUDY, tamper=lambda _trial, rows: profiled(rows))
    first = sorted((traced / "tables" / "trials").iterdir())[0].stem
    session = traced / "tensorboard" / first / "plugins" / "profile" / first
    session.mkdir(parents=True)
    shutil.copyfile(HERE / "data" / "profiles" / "graph.xplane.pb", session / "host.xplane.pb")


def run(seed: int, sound: Path, *, keep: Path | None = None) -> Verdict:
    """Make the input of a seed, run it, and judge.

    Args:
        seed: decides everything.
        sound: what `prepare` wrote.
        keep: takes the damaged input where something is wrong.
    """
    chance = random.Random(seed)
    kind = chance.choices(("out", "study", "arguments"), (6, 3, 2))[0]
    scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        place = scratch / "place"
        for name in ("outside", "tmp", "home", "here"):
            (place / name).mkdir(parents=True)
        (place / "outside" / "kept.txt").write_text("kept")
        arguments, done = _MAKERS[kind](chance, sound, place)
        code, told, wrong = _judged(chance, arguments, place)
        said = f"{'; '.join(done)}: {' '.join(each[:80] for each in arguments)!r}"
        if wrong and keep is not None:
            _keep(place, keep / str(seed))
        return Verdict(seed=seed, kind=kind, said=said, code=code, told=told[-500:], wrong=wrong)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _of_out(chance: random.Random, sound: Path, place: Path) -> tuple[list[str], list[str]]:
    out = place / "out"
    base = chance.choice(("world", "world", "world", "v1", "v2", "v2", "traced"))
    shutil.copytree(sound / base, out)
    done = [base, *damage_out(chance, out)]
    command = chance.choice((*READERS, *WRITERS))
    return _command(chance, command, str(out), place), done


def _of_study(chance: random.Random, sound: Path, place: Path) -> tuple[list[str], list[str]]:
    path = place / "study.toml"
    content = chance.choice(
        [_STUDY, *(each.read_text() for each in sorted(STUDIES.glob("*.toml")))]
    )
    if chance.random() < 0.4:  # a sound study of policies that are not
        listed = json.dumps([words.policy(chance) for _ in range(chance.choice((1, 1, 2, 5)))])
        path.write_text(_STUDY.replace('["prefix:*", "regex:l[12]"]', listed))
    elif chance.random() < 0.6:
        path.write_text(words.mutated_lines(chance, content), errors="replace")
    else:
        path.write_bytes(words.mutated_bytes(chance, content.encode()))
    if chance.random() < 0.3:
        out = place / "out"
        shutil.copytree(sound / "world", out)
        return ["sweep", str(path), "--out", str(out)], ["study"]
    if chance.random() < 0.2:
        address = ["--address", "http://127.0.0.1:1"]
        return ["submit", str(path), "--out", str(place / "out"), *address], ["study"]
    return ["plan", str(path)], ["study"]


def _of_arguments(chance: random.Random, sound: Path, place: Path) -> tuple[list[str], list[str]]:
    out = place / "out"
    shutil.copytree(sound / "world", out)
    command = chance.choice((*READERS, *READERS, *WRITERS, "plan", "status", "submit", "stop", "x"))
    arguments = _command(chance, command, str(out), place)
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(arguments) + 1)
        word = chance.choice((
            words.text(chance), words.policy(chance), "--json", "--out", "--freeze", "--budget",
            "--nosuch", "-h", "--", "-1", "1e400", "nan", "http://[::1", "s3://[x", "\udcff", "file://x",
            "--model", "--top", "--train", "--setting", "batch_size=8", "x=y", "--address",
            "--examples", "--epochs", "--price", "--watts", "7",
        ))  # fmt: skip
        if chance.random() < 0.5 and 0 < at < len(arguments):
            arguments[at] = word
        else:
            arguments.insert(at, word)
    return [each.replace("\0", "") for each in arguments], ["arguments"]


_MAKERS: dict[str, Callable[[random.Random, Path, Path], tuple[list[str], list[str]]]] = {
    "out": _of_out,
    "study": _of_study,
    "arguments": _of_arguments,
}


def _command(chance: random.Random, command: str, out: str, place: Path) -> list[str]:
    """A command on an OUT as somebody might well ask for it."""
    as_json = ["--json"] if chance.random() < 0.4 else []
    billed = ["--examples", "1000", "--epochs", "3", "--price", "2.5"]
    billed = billed if chance.random() < 0.4 else []
    match command:
        case "explain":
            return [command, out, chance.choice(("prefix:2", "control 1", "norms")), *as_json]
        case "diff":
            timed = ["--profiled"] if chance.random() < 0.3 else []
            return [command, out, "control 1", "prefix:2", *timed, *as_json]
        case "predict":
            policy = chance.choice(("prefix:2", "prefix:*"))
            asked = chance.choice((
                ["--freeze", policy], ["--freeze", policy, "--cached"],
                ["--schedule", "1:none", "--schedule", "2:prefix:2"], ["--schedule", "study"],
            ))  # fmt: skip
            return [command, out, *asked, *billed, *as_json]
        case "recommend":
            budget = chance.choice(("0.5", "0.9", "0.01"))
            limit = chance.choice(
                (["--budget", budget], ["--memory", "90KB"], ["--memory", "1GiB"])
            )
            return [command, out, *limit, *billed, *as_json]
        case "compare":
            gate = ["--gate", "3%"] if chance.random() < 0.5 else []
            shape = chance.choice(([], ["--json"], ["--markdown"]))
            return [command, out, out, *gate, *shape]
        case "export":
            return [command, out, "--to", chance.choice(("parquet", "csv")), *as_json]
        case "report":
            return [command, out, *billed]
        case "sweep":
            study = place / "asked.toml"
            study.write_text(_STUDY)
            return [command, str(study), "--out", out]
        case "plan":
            return [command, str(STUDIES / "demo.toml")]
        case "submit":
            address = ["--address", "http://127.0.0.1:1"]
            return [command, str(STUDIES / "demo.toml"), "--out", out, *address]
        case "status" | "stop":
            return [command, "job", "--address", "http://127.0.0.1:1"]
    return [command, out]


def _judged(
    chance: random.Random, arguments: list[str], place: Path
) -> tuple[int | None, str, str]:
    """The exit code, what was printed on standard error, and what was wrong."""
    watched = [place / "outside", place / "home", place / "tmp"]
    if arguments and arguments[0] in READERS:
        watched += [place / "out", place / "here"]
    before = [digest(each) for each in watched]
    said = {name: io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for name in ("out", "err")}
    code = None
    try:
        with surroundings(chance, place), captured(said["out"], said["err"]):
            code = main(arguments)
    except BaseException as error:  # noqa: BLE001 - whatever comes out of `main` is what is looked for
        return code, "", "".join(traceback.format_exception(error))
    texts = {name: caught(stream) for name, stream in said.items()}
    wrong = []
    if code not in ((0, 1, 2, 3) if "compare" in arguments else (0, 1, 2)):
        wrong.append(f"exit code {code}")
    for name, shown in texts.items():
        if found := UNSEEN.search(shown):
            at = found.start()
            wrong.append(f"std{name} has {shown[at]!r} in {shown[max(0, at - 60) : at + 60]!r}")
        if "Traceback" in shown:
            wrong.append(f"std{name} has a traceback:\n{shown[-3_000:]}")
        if " " * _PADDED + "\n" in shown:
            wrong.append(f"std{name} has lines that are padded without end")
    if code and not texts["err"].strip() and not texts["out"].strip():
        wrong.append("not a word")
    if code == 0 and "--json" in arguments and arguments[0] in READERS:
        wrong += _no_json(texts["out"])
    for each, was in zip(watched, before, strict=True):
        if digest(each) != was:
            wrong.append(f"{each.name} has changed: {sorted(map(str, each.rglob('*')))[:20]}")
    return code, texts["err"], "\n".join(wrong)


def _no_json(shown: str) -> Iterator[str]:
    def refuse(word: str) -> object:
        raise ValueError(word)

    try:
        json.loads(shown, parse_constant=refuse)
    except ValueError as error:
        if "Usage" not in shown:
            yield f"no JSON ({error}): {shown[:200]!r}"


def _keep(place: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    place.rename(target) if place.stat().st_dev == target.parent.stat().st_dev else shutil.copytree(
        place, target, symlinks=True, ignore_dangling_symlinks=True
    )
