"""The fuzzer, for a moment: a couple of hundred inputs; `make fuzz` runs thousands."""

from pathlib import Path

import fuzz
import fuzz_input
import pytest


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    fuzz_input.prepare(folder)
    return folder


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_no_input_brings_a_traceback_an_odd_exit_code_or_a_change(first: int, sound: Path):
    found = [fuzz_input.run(seed, sound) for seed in range(first, first + 50)]
    assert [each for each in found if each.wrong] == []
    assert {0, 2} <= {each.code for each in found}


def test_a_seed_gives_the_same_input_each_time(sound: Path):
    def said(verdict: fuzz_input.Verdict) -> str:
        return verdict.said.partition(": ")[0]

    assert [said(fuzz_input.run(seed, sound)) for seed in (3, 5, 8)] == [
        said(fuzz_input.run(seed, sound)) for seed in (3, 5, 8)
    ]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("raise ValueError('a defect')", "ValueError: a defect"),
        ("print('\\x1b[2J'); return 0", r"stdout has '\x1b'"),
        ("return 130", "exit code 130"),
        ("open('../outside/new', 'w').close(); return 0", "outside has changed"),
        ("return 2", "not a word"),
    ],
)
def test_what_is_wrong_is_seen(body: str, word: str, sound: Path, monkeypatch: pytest.MonkeyPatch):
    space: dict = {}
    exec(f"def broken(arguments):\n    {body}", space)
    monkeypatch.setattr(fuzz_input, "main", space["broken"])
    assert word in fuzz_input.run(1, sound).wrong


def test_an_input_that_takes_too_long_is_a_verdict_with_the_place(sound: Path):
    worker = fuzz.Worker(sound, None, 0.02)
    try:
        answer = worker.ask(1)
    finally:
        worker.close()
    assert isinstance(answer, str)
    assert "fuzz_input.py" in answer
