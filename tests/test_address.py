"""Keys in an address are seen by nobody: not in messages, not by `ps`, not in what is written."""

from __future__ import annotations

import logging
import pickle
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from predict_kit import world
from s3_kit import S3, Fault
from schedule_kit import Heard, install_fake
from test_store_sweeps import sweep

from frostline.cli import main
from frostline.errors import FrostlineError, SweepError
from frostline.reporting.make import make_report_apart
from frostline.store.address import Address
from frostline.store.outdir import OutDir
from frostline.store.spool import Spool
from frostline.submit.jobs_api import reachable

KEY, WORD = "AKIAHIDDENKEY", "hidden/word+of=mine"
KEYS = f"{KEY}:{quote(WORD, safe='')}@"
HIDDEN = (KEY, WORD, quote(WORD, safe=""))


def test_the_home_of_nobody_is_refused_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "~nobody-of-this-name/out"]) == 2
    said = capsys.readouterr().err
    assert "nobody knows the home that ~nobody-of-this-name stands for" in " ".join(said.split())


@pytest.mark.parametrize(
    ("given_as", "shown", "secrets"),
    [
        ("results/here", "results/here", False),
        ("/odd/?x=1@2", "/odd/?x=1@2", False),
        (f"s3://{KEYS}bucket/p?region=eu-west-1", "s3://bucket/p", True),
        ("s3://bucket/p?region=eu-west-1&max_attempts=2", "s3://bucket/p", False),
        (f"s3://bucket/p?secret_key={quote(WORD, safe='')}", "s3://bucket/p", True),
        (f"s3://bucket/p?endpoint_override=http://u:{KEY}@host", "s3://bucket/p", True),
        ("abfs://container@account.dfs.core.windows.net/p",
         "abfs://container@account.dfs.core.windows.net/p", False),
        (f"abfss://container:{KEY}@account.dfs.core.windows.net/p",
         "abfss://container@account.dfs.core.windows.net/p", True),
        (f"abfs://:{KEY}@account.blob.core.windows.net/c/p",
         "abfs://account.blob.core.windows.net/c/p", True),
        (f"abfs://c@a.dfs.core.windows.net/p?client_secret={KEY}",
         "abfs://c@a.dfs.core.windows.net/p", True),
        (f"abfs://c@a.dfs.core.windows.net/p?sig={KEY}", "abfs://c@a.dfs.core.windows.net/p", True),
        ("gs://anonymous@bucket/p", "gs://bucket/p", False),
        ("gs://bucket/p?retry_limit_seconds=5", "gs://bucket/p", False),
        ("hdfs://me@namenode:8020/p?user=me&kerb_ticket=" + KEY, "hdfs://me@namenode:8020/p", True),
        ("file:///tmp/p", "file:///tmp/p", False),
    ],
)  # fmt: skip
def test_an_address_shows_itself_without_keys(given_as: str, shown: str, secrets: bool) -> None:
    address = Address.parse(given_as)
    assert (address.shown, address.holds_keys) == (shown, secrets)
    assert address.reveal() == given_as
    for text in (str(address), repr(address), f"{address}", address.command_form, address.identity):
        assert not any(word in text for word in HIDDEN)
    assert address.scrub(f"cannot parse {given_as}").count(KEY) == 0
    assert pickle.loads(pickle.dumps(address)).reveal() == given_as


@given(
    key=st.text("abcXYZ019+/=% ", min_size=4, max_size=20),
    word=st.text("abcXYZ019+/=%@:? ", min_size=4, max_size=20),
    option=st.sampled_from(["secret_key", "sas", "token", "password", "x"]),
)
def test_no_form_of_a_key_is_ever_shown(key: str, word: str, option: str) -> None:
    inside = quote(word, safe="")
    address = Address.parse(f"s3://{quote(key, safe='')}:{inside}@b/folder?{option}={inside}")
    said = address.scrub(f"no such thing: {address.reveal()}, nor {word!r} nor {inside}")
    for text in (str(address), repr(address), address.command_form, address.identity, said):
        assert word not in text.replace("folder", "").replace("no such thing", "")
        assert inside not in text.replace("folder", "").replace("no such thing", "")


def test_what_a_command_is_advised_with_can_be_run() -> None:
    address = Address.parse(f"s3://{KEYS}bucket/p?region=eu-west-1&scheme=http&secret_key={KEY}")
    assert address.command_form == "s3://bucket/p?region=eu-west-1&scheme=http"


@pytest.mark.parametrize("text", ["s3://[x", f"s3://{KEYS}[::1", f"s3://{KEYS}host:port/p", ""])
def test_what_is_no_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SweepError, match="pass a path or a URI") as refused:
        Address.parse(text)
    assert not any(word in str(refused.value) for word in HIDDEN)


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://{KEYS}bucket/p?secret_key={KEY}",  # Arrow's own errors name what they do not know
        f"nowhere://{KEYS}bucket/p",
        f"s3://{KEYS}bucket/p?max_attempts={KEY}",
        f"s3://{KEYS}",
        f"abfs://c:{KEY}@a.dfs.core.windows.net/p?client_secret={KEY}",
        f"hdfs://me:{KEY}@127.0.0.1:9/p",
    ],
)
@pytest.mark.parametrize("command", ["sweep", "report", "tensorboard", "doctor", "predict"])
def test_errors_do_not_repeat_keys(
    uri: str, command: str, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frostline.doctor.machine.ask_tensorflow", lambda **_: None)
    monkeypatch.setattr("frostline.doctor.machine.ask_ray", lambda **_: None)
    monkeypatch.setattr("frostline.doctor.judge", lambda seen: [])
    (tmp_path / "study.toml").write_text(
        'name = "x"\n[[model]]\nname = "x"\nbuilder = "keras.applications:VGG16"\n'
    )
    arguments = {
        "sweep": ["sweep", str(tmp_path / "study.toml"), "--out", uri],
        "doctor": ["doctor", "--out", uri],
        "predict": ["predict", uri, "--freeze", "none"],
    }.get(command, [command, uri])
    code = main(arguments)
    said = capsys.readouterr()
    assert code in (0, 1, 2) if command == "doctor" else code in (1, 2)
    for text in (said.out, said.err):
        assert not any(word in text for word in HIDDEN), text
        assert "Traceback" not in text


def test_a_job_is_given_no_keys_and_azures_containers_are_none() -> None:
    for secret in (f"s3://{KEYS}b/p", f"abfs://c@a.dfs.core.windows.net/p?sig={KEY}",
                   f"abfs://c@a.dfs.core.windows.net/p?client_secret={KEY}"):  # fmt: skip
        with pytest.raises(FrostlineError, match="must not hold keys") as refused:
            reachable(secret)
        assert KEY not in str(refused.value)
    plain = "abfs://container@account.dfs.core.windows.net/p"
    assert reachable(plain)[0] == plain


def test_two_containers_of_an_account_have_a_spool_each(tmp_path: Path) -> None:
    class Out(OutDir):
        def __init__(self, uri: str) -> None:
            self.address = Address.parse(uri)

    places = {
        Spool(Out(f"abfs://{container}@account.dfs.core.windows.net/p{query}")).place
        for container in ("one", "two")
        for query in ("", f"?sig={KEY}", "?max_attempts=3")
    }
    assert len(places) == 2


@contextmanager
def command_lines() -> Iterator[set[str]]:
    """Every argument of every process below this one while the block runs."""
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        me = psutil.Process()
        while not over.wait(0.01):
            for child in me.children(recursive=True):
                try:
                    seen.update(child.cmdline())
                except psutil.Error:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_a_sweep_leaves_keys_nowhere(
    s3: S3, front: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, caplog
) -> None:
    """Standard output and error, logs, `ps`, OUT, the spool, the folder for temporary files."""
    caplog.set_level(logging.DEBUG)
    spool, scratch = tmp_path / "spool", tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setenv("FROSTLINE_SPOOL", str(spool))
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    install_fake(tmp_path / "fake", monkeypatch)
    known, swept, failing = (each.uri().replace("key:secret@", KEYS) for each in (s3, s3, front))
    heard = Heard()
    with command_lines() as seen:
        world(known, "prefix:*")  # type: ignore[arg-type]
        assert main(["report", known]) == 0
        assert main(["predict", known, "--freeze", "prefix:2"]) == 0
        page = make_report_apart(Address.parse(known))
        assert sweep(swept, heard).ok > 0
        front.fail(Fault(kind="denied", path="/tables/trials", method="PUT"))
        with pytest.raises(FrostlineError) as stopped:
            sweep(failing, heard)
    assert list(spool.rglob("record.json")), "something is left in the spool"
    said = capsys.readouterr()
    texts = {"stdout": said.out, "stderr": said.err, "log": caplog.text, "page": page}
    texts |= {"ps": "\n".join(seen), "error": str(stopped.value), "heard": repr(vars(heard))}
    assert any("frostline.reporting.make" in each for each in seen), "the report's child was seen"
    for where in (known, swept, failing):
        files = OutDir.open(where, create=False).files
        for name in [name for folder in files.entries() for name in [folder, *files.walk(folder)]]:
            texts[name] = (files.read(name) or b"").decode("latin-1")
    for folder in (spool, scratch):
        for path in folder.rglob("*"):
            if path.is_file():
                texts[str(path)] = path.read_bytes().decode("latin-1")
    assert [name for name, text in texts.items() if any(word in text for word in HIDDEN)] == []
