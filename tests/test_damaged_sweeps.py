"""Sweeps with damage of every kind, read by every command: one clear error, exit code 2."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from predict_kit import world
from test_any_sweep import COMMANDS as READING
from test_any_sweep import profiled

from frostline.cli import main
from frostline.errors import DamagedError
from frostline.facts.model_facts import parse_facts
from frostline.store.sweep import open_sweep

STUDY = """
name = "world"
[[model]]
name = "net"
builder = "frostline.models:mlp_sequential"
[train]
batch_size = [8]
[freeze]
policies = ["prefix:*"]
[resources]
cpus_per_trial = 1
"""
COMMANDS = READING | {
    "reattribute": ["reattribute", "OUT"],
    "sweep": ["sweep", "STUDY", "--out", "OUT"],
}
Damage = Callable[[Path], Path]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "out"
    return world(folder, text=STUDY, tamper=lambda _trial, rows: profiled(rows))


@pytest.fixture
def sweep(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "out"))


def trial_file(out: Path, table: str = "trials", policy: str = "prefix:2") -> Path:
    (path,) = [
        path
        for path in (out / "tables" / "trials").iterdir()
        if pq.read_table(path)["policy"].to_pylist() == [policy]
    ]
    return out / "tables" / table / path.name


def cell(column: str, value: object, kind: pa.DataType | None = None) -> Damage:
    """A column of a row of `trials` with another value."""

    def damage(out: Path) -> Path:
        path = trial_file(out)
        rows = pq.read_table(path)
        at = rows.schema.get_field_index(column)
        values = pa.array([value], kind or rows.schema.field(column).type)
        pq.write_table(rows.set_column(at, pa.field(column, values.type), values), path)
        return path

    return damage


def without_column(name: str) -> Damage:
    def damage(out: Path) -> Path:
        path = trial_file(out)
        pq.write_table(pq.read_table(path).drop_columns([name]), path)
        return path

    return damage


def replaced(name: str, make: Callable[[Path], object]) -> Damage:
    """A file of OUT (`TRIAL`: a commit) goes, and something else is made in its place."""

    def damage(out: Path) -> Path:
        path = trial_file(out) if name == "TRIAL" else out / name
        path.unlink()
        make(path)
        return path

    return damage


def content(name: str, change: Callable[[bytes], bytes]) -> Damage:
    def damage(out: Path) -> Path:
        path = trial_file(out) if name == "TRIAL" else out / name
        path.write_bytes(change(path.read_bytes()))
        return path

    return damage


def twice(out: Path) -> Path:
    path = trial_file(out)
    rows = pq.read_table(path)
    pq.write_table(pa.concat_tables([rows, rows]), path)
    return path


def another_trials(out: Path) -> Path:
    path = trial_file(out)
    path.write_bytes(trial_file(out, policy="prefix:3").read_bytes())
    return path


DEEP = b'{"a":' * 5_000 + b"1" + b"}" * 5_000
OF_THE_SWEEP: dict[str, Damage] = {
    "null": cell("model", None),
    "null number": cell("batch_size", None),
    "missing column": without_column("strategy"),
    "NaN": cell("speedup", float("nan")),
    "infinity": cell("speedup_high", float("inf")),
    "negative time": cell("step_ns", -1),
    "zero time": cell("baseline_step_ns", 0),
    "endless time": cell("step_ns", 2**63 - 1),
    "share above one": cell("frozen_fraction", 1.5),
    "text for a number": cell("step_ns", "long", pa.string()),
    "number for a list": cell("frozen_layers", 3, pa.int64()),
    "null in a list": cell("frozen_variables", [None]),
    "unknown status": cell("status", "perhaps"),
    "the year 9999": cell("started_at", 253_402_300_799_000_000),
    "2 MB name": cell("model", "x" * 2_000_000),
    "row twice": twice,
    "row of another trial": another_trials,
    "cut short": content("TRIAL", lambda data: data[: len(data) // 2]),
    "empty": content("TRIAL", lambda _data: b""),
    "junk": content("TRIAL", lambda _data: b"PAR1" + bytes(400) + b"PAR1"),
    "pipe for a table": replaced("TRIAL", os.mkfifo),
    "folder for a table": replaced("TRIAL", Path.mkdir),
    "empty manifest": content("manifest.json", lambda _data: b""),
    "deep manifest": content("manifest.json", lambda _data: DEEP),
    "manifest of a list": content("manifest.json", lambda _data: b"[]"),
    "digits in the manifest": content(
        "manifest.json", lambda _data: b'{"schema_version": ' + b"9" * 5_000 + b"}"
    ),
    "pipe for the manifest": replaced("manifest.json", os.mkfifo),
    "folder for the manifest": replaced("manifest.json", Path.mkdir),
}


def refused(arguments: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    study = out.parent / "study.toml"
    study.write_text(STUDY)
    names = {"OUT": str(out), "STUDY": str(study)}
    assert main([names.get(each, each) for each in arguments]) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return said.err


@pytest.mark.parametrize("damage", OF_THE_SWEEP)
def test_damage_is_one_error_in_every_command(damage: str, sweep: Path, capsys) -> None:
    path = OF_THE_SWEEP[damage](sweep)
    for name, arguments in COMMANDS.items():
        said = refused(arguments, sweep, capsys)
        assert said.startswith("error: "), name
        assert path.name in said or "tables/trials is damaged" in said
        assert len(said) < 2_000


def of_facts(change: Callable[[dict], object]) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        facts = json.loads(data)
        change(facts)
        return json.dumps(facts).encode()

    return changed


OF_FACTS: dict[str, Callable[[bytes], bytes]] = {
    "layer twice": of_facts(lambda facts: facts["layers"].append(facts["layers"][0])),
    "unknown layer upstream": of_facts(lambda facts: facts["layers"][1]["upstream"].append("x")),
    "index twice": of_facts(lambda facts: facts["layers"][1].update(index=0)),
    "layer without variables": of_facts(lambda facts: facts["layers"][1].update(variables=[])),
    "variable of another layer": of_facts(
        lambda facts: facts["layers"][1]["variables"][0].update(layer="net/l0")
    ),
    "variable twice": of_facts(
        lambda facts: facts["layers"][1]["variables"].append(facts["layers"][1]["variables"][0])
    ),
    "negative size": of_facts(lambda facts: facts["layers"][1]["variables"][0].update(params=-5)),
    "no parameters": of_facts(
        lambda facts: [each["variables"][0].update(params=0) for each in facts["layers"]]
    ),
    "no batch": of_facts(lambda facts: facts.update(batch_size=0)),
    "endless": of_facts(lambda facts: facts.update(build_s=float("inf"))),
    "another model's": of_facts(lambda facts: facts.update(name="other")),
    "a number for layers": of_facts(lambda facts: facts.update(layers=3)),
    "nothing": lambda _data: b"",
    "half": lambda data: data[: len(data) // 2],
    "deep": lambda _data: DEEP,
    "no text": lambda _data: bytes(range(256)),
}


@pytest.mark.parametrize("damage", OF_FACTS)
@pytest.mark.parametrize("command", ["predict", "recommend", "report", "reattribute"])
def test_damaged_facts_of_a_model_are_named(damage: str, command: str, sweep: Path, capsys) -> None:
    path = content("models/net.json", OF_FACTS[damage])(sweep)
    assert f"{path} is damaged" in refused(COMMANDS[command], sweep, capsys)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_a_pipe_or_a_folder_for_a_models_facts_is_named(
    make: Callable[[Path], object], sweep: Path, capsys
) -> None:
    path = replaced("models/net.json", make)(sweep)
    assert str(path) in refused(COMMANDS["predict"], sweep, capsys)


def test_facts_that_are_sound_pass(sweep: Path) -> None:
    assert parse_facts((sweep / "models" / "net.json").read_text()).name == "net"


@pytest.mark.parametrize(
    ("table", "command"),
    [("op_costs", "diff"), ("layers", "explain"), ("op_costs", "predict"), ("graph_ops", "predict"),
     ("layers", "predict"), ("op_costs", "report"), ("op_costs", "recommend"),
     ("op_costs", "compare"), ("layers", "export")],
)  # fmt: skip
@pytest.mark.parametrize("change", [lambda data: data[:-9], lambda _data: b"PAR1"])
def test_a_damaged_table_is_named_by_what_reads_it(
    table: str, command: str, change: Callable[[bytes], bytes], sweep: Path, capsys
) -> None:
    for path in (sweep / "tables" / table).iterdir():
        path.write_bytes(change(path.read_bytes()))
    assert f"tables/{table}" in refused(COMMANDS[command], sweep, capsys)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("op_costs", "ns_per_step", -1), ("op_costs", "pass", "sideways"),
        ("op_costs", "op_name", None), ("op_costs", "calls_per_step", float("nan")),
        ("layers", "mode", "asleep"), ("layers", "params", -1), ("layers", "layer", None),
        ("graph_ops", "needed_by", None), ("graph_ops", "op_type", None),
    ],
)  # fmt: skip
def test_values_of_every_table_are_looked_at(
    table: str, column: str, value: object, sweep: Path
) -> None:
    path = next(iter((sweep / "tables" / table).iterdir()))
    rows = pq.read_table(path)
    at = rows.schema.get_field_index(column)
    values = [value, *rows[column].to_pylist()[1:]]
    kind = rows.schema.field(column).type
    pq.write_table(rows.set_column(at, pa.field(column, kind), pa.array(values, kind)), path)
    with pytest.raises(DamagedError, match=rf"{path.name} is damaged: {column} is"):
        open_sweep(str(sweep)).table(table)
    open_sweep(str(sweep)).table(
        table, [name for name in ("trial_id", "device") if name != column][:1]
    )


def test_errors_of_a_query_are_told_when_its_rows_are_fetched(sweep: Path) -> None:
    opened = open_sweep(str(sweep))
    assert opened.fetch("SELECT count(*) FROM trials")[0][0] > 3
    trial_file(sweep, "op_costs").write_bytes(b"PAR1")
    with pytest.raises(DamagedError, match="damaged"):
        opened.fetch("SELECT sum(ns_per_step) FROM op_costs")
