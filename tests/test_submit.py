"""Submitting: whom the token is shown to, what goes along, and what is made of a job's end."""

from __future__ import annotations

import http.server
import io
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from frostline.cli.cluster import exit_code_of, verdict
from frostline.cli.job_progress import JobProgress
from frostline.errors import StorageError, UsageError
from frostline.submit import access
from frostline.submit import bundle as bundling
from frostline.submit.access import find_token, is_loopback, normalised, reach
from frostline.submit.bundle import pack
from frostline.submit.jobs_api import Job, reachable

TOKEN = "s3cret"


class Dashboard(http.server.BaseHTTPRequestHandler):
    """Answers as a Ray dashboard does; remembers what it was shown."""

    asks = True
    body: object = {"ray_version": "2.60.0"}
    seen: list[str | None]

    def do_GET(self) -> None:
        shown = self.headers.get("Authorization")
        self.seen.append(shown)
        status = 200
        if self.asks:
            status = 401 if shown is None else 200 if shown == f"Bearer {TOKEN}" else 403
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(self.body).encode() if status == 200 else b"Unauthorized")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def dashboard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Dashboard]]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    kind = type("Asked", (Dashboard,), {"seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    kind.address = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield kind
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_token_is_shown_to_a_cluster_that_asks(dashboard, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    access = reach(dashboard.address + "/", token_file=file)
    assert (access.address, access.ray_version) == (dashboard.address, "2.60.0")
    assert access.headers == {"Authorization": f"Bearer {TOKEN}"}
    assert TOKEN not in repr(access)
    assert access.notices == ()
    assert dashboard.seen == [None, f"Bearer {TOKEN}"]


def test_a_cluster_that_does_not_ask_never_sees_it(dashboard, monkeypatch) -> None:
    dashboard.asks = False
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    assert reach(dashboard.address).headers == {}
    assert dashboard.seen == [None]


@pytest.mark.parametrize(
    ("token", "said"), [(None, "there is none"), ("wrong", "does not take the token")]
)
def test_without_the_right_token_there_is_no_access(dashboard, monkeypatch, token, said) -> None:
    if token:
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    with pytest.raises(UsageError, match=said) as refused:
        reach(dashboard.address)
    assert "wrong" not in str(refused.value)


def test_what_is_no_ray_is_refused(dashboard) -> None:
    dashboard.asks, dashboard.body = False, ["hello"]
    with pytest.raises(UsageError, match="is no Ray dashboard"):
        reach(dashboard.address)


def test_an_address_where_nothing_listens_is_refused() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UsageError, match="no cluster answers"):
        reach(f"127.0.0.1:{port}")


def test_an_address_that_never_answers_is_given_up(monkeypatch) -> None:
    assert access.DEADLINE_S < 10
    monkeypatch.setattr(access, "DEADLINE_S", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        pytest.raises(UsageError, match="no answer within"),
    ):
        reach(f"http://127.0.0.1:{deaf.getsockname()[1]}")


@pytest.mark.parametrize("address", ["ray://head:10001", "", "http://", "https://me:pw@head:8265"])
def test_addresses_of_another_kind_are_refused(address: str) -> None:
    with pytest.raises(UsageError, match="--address"):
        normalised(address)


@pytest.mark.parametrize("address", ["http://[::1", "[x", "http://user:secret@[x"])
def test_what_is_no_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(UsageError, match="is no address") as refused:
        normalised(address)
    assert "secret" not in str(refused.value)


def test_addresses_are_completed() -> None:
    assert normalised("head:8265") == "http://head:8265"
    assert normalised("https://head/ray/") == "https://head/ray"
    assert is_loopback("http://localhost:1")
    assert is_loopback("http://[::1]:1")
    assert not is_loopback("http://10.0.0.1:1")
    assert not is_loopback("http://localhost.example:1")


def test_tokens_are_looked_for_in_rays_order(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_token(environment={}) is None
    (tmp_path / ".ray").mkdir()
    own = tmp_path / ".ray" / "auth_token"
    own.write_text("home\n")
    named, given = tmp_path / "named", tmp_path / "given"
    named.write_text("named")
    given.write_text("given")
    environment = {"RAY_AUTH_TOKEN_PATH": str(named)}
    values = [
        find_token(environment={}),
        find_token(environment=environment),
        find_token(environment=environment | {"RAY_AUTH_TOKEN": "said"}),
        find_token(given, environment | {"RAY_AUTH_TOKEN": "said"}),
    ]
    assert [token.value for token in values if token] == ["home", "named", "said", "given"]
    assert "home" not in repr(values[0]).replace(str(own), "")


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff\xfe"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="token"):
        find_token(path)


def test_what_is_no_token_is_refused_wherever_it_stands() -> None:
    for value in ("two\nlines", "abc…"):
        with pytest.raises(UsageError, match="RAY_AUTH_TOKEN holds no token"):
            find_token(environment={"RAY_AUTH_TOKEN": value})
    with pytest.raises(UsageError, match="cannot be read: Could not determine home"):
        find_token(Path("~nosuchuser/token"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "mine"
    for name in (
        "study.toml", "networks.py", "tools/inside.py", "tools/__pycache__/x.pyc", "weights.h5",
        ".git/config", ".secret", "env/pyvenv.cfg", "env/lib.py", "results/manifest.json",
        "results/study.toml",
    ):  # fmt: skip
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (home / "elsewhere").symlink_to(os.sep)
    return home


def test_a_job_takes_the_program_and_the_studys_folder_along(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    bundle = pack(folder / "study.toml", target)
    files = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert bundle.study == "study/study.toml"
    assert {each for each in files if each.startswith("study/")} == {
        "study/study.toml", "study/networks.py", "study/tools/inside.py", "study/weights.h5",
    }  # fmt: skip
    assert {
        "pipeline/frostline/sweep/run.py",
        "pipeline/frostline/reporting/templates/report.css",
    } <= files
    assert not [each for each in files if each.endswith(".pyc")]
    assert bundle.left_out == ("elsewhere", "env", "results")
    assert bundle.size_bytes == sum((target / each).stat().st_size for each in files)


def test_a_link_to_a_study_takes_the_study_along(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "latest.toml").symlink_to(folder / "study.toml")
    (tmp_path / "bundle").mkdir()
    bundle = pack(tmp_path / "latest.toml", tmp_path / "bundle")
    assert bundle.study == "study/study.toml"
    assert (bundle.folder / bundle.study).is_file()


def test_a_hidden_study_is_no_hidden_file(folder: Path, tmp_path: Path) -> None:
    (folder / "study.toml").rename(folder / ".study.toml")
    (tmp_path / "bundle").mkdir()
    bundle = pack(folder / ".study.toml", tmp_path / "bundle")
    assert (bundle.folder / bundle.study).is_file()
    assert not (bundle.folder / "study" / ".secret").exists()


def test_a_folder_that_cannot_be_read_is_not_left_out_in_silence(
    folder: Path, tmp_path: Path, monkeypatch
) -> None:
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("tools"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    (tmp_path / "bundle").mkdir()
    with pytest.raises(StorageError, match=r"Permission denied: '\S+/tools'"):
        pack(folder / "study.toml", tmp_path / "bundle")


def test_a_folder_that_is_too_large_is_refused_by_its_largest_file(
    folder: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(bundling, "LIMIT_BYTES", 5 * 1024**2)
    with (folder / "weights.h5").open("wb") as file:
        file.truncate(6 * 1024**2)
    target = tmp_path / "bundle"
    target.mkdir()
    with pytest.raises(UsageError, match=r"more than 5 MiB, among it \S+weights.h5 \(6 MiB\)"):
        pack(folder / "study.toml", target)
    assert list(target.iterdir()) == []


def test_results_go_where_the_cluster_can_reach(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert reachable("s3://bucket/sweep?region=eu-west-1") == (
        "s3://bucket/sweep?region=eu-west-1", [],
    )  # fmt: skip
    where, notices = reachable("out")
    assert where == str(tmp_path / "out")
    assert "every node must see that folder" in notices[0]
    with pytest.raises(UsageError, match="must not hold keys") as refused:
        reachable("s3://key:hidden@bucket/sweep")
    assert "hidden" not in str(refused.value)


def job(status: str, exit_code: int | None = None) -> Job:
    return Job(
        job_id="frostline-x", status=status, exit_code=exit_code, message="why", study="demo",
        out="s3://bucket", started_at=1.0, ended_at=None,
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "expected", "words"),
    [
        ("SUCCEEDED", 0, 0, "is finished"),
        ("FAILED", 1, 1, "ended with failures"),
        ("FAILED", 2, 2, "was refused"),
        ("FAILED", 130, 130, "submit it again on the same OUT to resume"),
        ("FAILED", -9, 1, "failed: why"),
        ("FAILED", None, 1, "failed: why"),
        ("STOPPED", None, 130, "submit it again on the same OUT to resume"),
    ],
)
def test_the_end_of_a_job_is_that_of_a_sweep(status, code, expected, words) -> None:
    ended = job(status, code)
    assert exit_code_of(ended) == expected
    assert words in verdict(ended)


LINES = [
    "3 trials to run.",
    "[1/3] net prefix:1  1.50x [1.40, 1.60]",
    "note: lost a lease",
    "[2/3] net [b]  failed in build: no such file",
]


def test_a_jobs_lines_are_shown_as_they_are_without_a_terminal() -> None:
    console = Console(file=io.StringIO(), width=20)
    with JobProgress(console) as progress:
        for line in LINES:
            progress.take(line)
    assert console.file.getvalue().splitlines() == LINES  # type: ignore[attr-defined]


def test_on_a_terminal_good_trials_move_a_bar() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    with JobProgress(console) as progress:
        for line in (*LINES, "[3/3] net c  failed for the same reason as trial 2"):
            progress.take(line)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "3/3" in said
    assert "net c  failed for the same reason as trial 2" in said
    assert "failed in build: no such file" in said
    assert "note: lost a lease" in said
    assert "[1/3] net prefix:1" not in said
