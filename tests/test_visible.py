"""Foreign text on its way to the terminal, the report and JSON: nothing acts, nothing is hidden."""

from __future__ import annotations

import io
import json
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_kit import write_sweep
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from frostline.cli import main
from frostline.cli.console import PlainConsole
from frostline.notebook import html_table, one_line
from frostline.visible import UNSEEN, visible, visible_in, visible_json

CLIPBOARD = "\x1b]52;c;ZXZpbA==\x07"
HOSTILE = (
    f"{CLIPBOARD}\x1b[2J\x9b31m\x08\x7f\x00\u202egnp.exe\u2066\u200b\u061c\ufeff\U000e0041"
    "[red]x[/red][/x]:bomb:"
)


def test_every_control_and_formatting_character_is_found():
    for code in range(sys.maxunicode + 1):
        kind = unicodedata.category(chr(code))
        if kind in ("Cc", "Cf", "Cs", "Zl", "Zp") and chr(code) != "\n":
            assert UNSEEN.match(chr(code)), hex(code)
        elif kind[0] in "LNPSZ" and unicodedata.name(chr(code), "").find("FILLER") < 0:
            assert not UNSEEN.match(chr(code)), hex(code)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"), ("a\u202eb", r"a\u202eb"), ("\x9b", r"\x9b"),
        ("\x7f\x00\t\r", r"\x7f\x00\x09\x0d"), ("\U000e0041", r"\U000e0041"), ("\udcff", r"\udcff"),
        ("two\nlines", "two\nlines"), ("Zürich 漢字 — x", "Zürich 漢字 — x"),
    ],
)  # fmt: skip
def test_what_would_act_or_leave_no_mark_is_an_escape(text: str, shown: str):
    assert visible(text) == shown


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_means_the_same_and_holds_none_of_it(value: object):
    shown = visible_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
    assert not UNSEEN.search(shown)


def test_a_tree_is_cleaned_to_its_leaves_and_keys():
    tree = {"\x1b": ["\u202e", ("\x07", 1, None)]}
    assert visible_in(tree) == {r"\x1b": [r"\u202e", (r"\x07", 1, None)]}


def a_table() -> Table:
    table = Table("a", HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_row(HOSTILE, Text(HOSTILE))
    return table


@pytest.mark.parametrize(
    "thing",
    [
        HOSTILE, Text(HOSTILE, style="red"), Text.assemble("a", (HOSTILE, "bold"), "b"), a_table(),
        Padding(Text(HOSTILE), 1), Group(HOSTILE, a_table()), {"key": HOSTILE}, Path(HOSTILE),
    ],
    ids=["str", "Text", "assembled", "table", "padding", "group", "dict", "path"],
)  # fmt: skip
@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("options", [{}, {"markup": True, "emoji": True, "highlight": True}])
def test_whatever_is_printed_neither_acts_nor_is_markup(
    thing: object, terminal: bool, options: dict
):
    console = PlainConsole(
        file=io.StringIO(), width=400, force_terminal=terminal, color_system="truecolor"
    )
    console.print(thing, **options)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())  # Rich's own colours
    assert not UNSEEN.search(shown)
    text = " ".join(shown.split())
    assert r"\x1b]52;c;ZXZpbA==" in text.replace(r"\\", "\\")
    assert "[red]x[/red][/x]:bomb:" in text


def test_styles_stay_where_they_were():
    console = PlainConsole(file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(Text.assemble("a", ("b\x1bc", "red"), "d"))
    assert console.file.getvalue() == "a\x1b[31mb\x1b[0m\x1b[31m\\x1b\x1b[0m\x1b[31mc\x1b[0md\n"


def test_notebooks_show_the_same():
    assert not UNSEEN.search(html_table([HOSTILE], [[HOSTILE]], caption=HOSTILE))
    assert "\n" not in one_line("Sweep", f"{HOSTILE}\nx", {"a": HOSTILE})


@pytest.fixture
def hostile(tmp_path: Path, sweep_rows: list[dict]) -> Path:
    """A sweep in which every name is hostile."""
    named = {
        "model": HOSTILE.replace("\x00", "").replace("/", "|"), "host": HOSTILE,
        "device_kind": HOSTILE, "warnings": [HOSTILE], "optimizer": HOSTILE,
    }  # fmt: skip
    for row in sweep_rows:
        row |= named | {"policy": row["policy"] + HOSTILE}
        if row["status"] == "failed":
            row |= {"error_type": HOSTILE, "error_message": f"two\nlines{HOSTILE}"}
    return write_sweep(tmp_path / "[red]x[bold][", sweep_rows, name=HOSTILE)


def test_hostile_names_neither_reach_the_terminal_nor_the_figures(hostile: Path, capsys):
    prefix = f"prefix:2{HOSTILE}"
    for command in (
        ["report"], ["explain", prefix], ["explain", prefix, "--json"],
        ["diff", "control 1", prefix, "--top", "99"], ["diff", "control 1", prefix, "--json"],
        ["explain", f"{HOSTILE}nothing"], ["predict", "--freeze", HOSTILE],
        ["recommend", "--budget", "0.5", "--model", HOSTILE], ["export", "--to", "csv"],
        ["compare", str(hostile)], ["compare", str(hostile), "--markdown"],
        ["compare", str(hostile), "--json"],
    ):  # fmt: skip
        name, *rest = command
        code = main([name, str(hostile), *rest])
        said = capsys.readouterr()
        answers = name in ("report", "diff", "compare", "export") or rest[0] == prefix
        assert code == (0 if answers else 2), said
        assert not UNSEEN.search(said.out + said.err), command
        if "--json" in rest:
            assert HOSTILE in said.out or json.loads(said.out)
        if name == "report":
            assert f"{hostile}/report/index.html" in said.out.replace("\n", "")
    page = (hostile / "report" / "index.html").read_text()
    program = re.compile(r"<script>.*?</script>", re.DOTALL)  # Vega's; the data stay
    assert "application/json" in program.sub("", page)
    assert not UNSEEN.search(program.sub("", page))
    figures = list((hostile / "report" / "figures").glob("*.svg"))
    assert figures
    for figure in figures:
        assert not UNSEEN.search(figure.read_text())


@pytest.mark.parametrize("name", ["[red]x[bold]", "[x]/[", "a[/x]", "a[/]", "\x1b[2J", ":bomb:"])
def test_a_path_is_no_markup(name: str, tmp_path: Path, capsys):
    for arguments in (
        ["report", str(tmp_path / name)],
        ["report", name, name],
        ["plan", str(tmp_path / name)],
        ["sweep", str(tmp_path / name), "--out", name],
        [name],
        ["report", f"--{name}"],
    ):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert visible(name) in said.replace("\n", "")
        assert not UNSEEN.search(said)
