"""Reaching a cluster's Jobs API: its address, and the token where the cluster asks for one.

In: the address as the user gives it, and where a token may lie. Out: `Access`. Refuses, within ten
seconds and before Ray begins its own retries: an address where nothing or something else answers, a
cluster that asks for a token when there is none, and one that does not take the token there is.

A token is sent only to clusters that ask for one, and appears in no message.
"""

from __future__ import annotations

import ipaddress
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import requests

from frostline.errors import UsageError

DEADLINE_S = 8.0
"""For all requests of `reach` together, slow name servers included."""

_REQUEST_S = 5.0
_REFUSED = (requests.codes.unauthorized, requests.codes.forbidden)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A cluster's token.

    Attributes:
        value: the secret.
        source: where it comes from, for messages.
    """

    value: str = field(repr=False)
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A Jobs API that answers.

    Attributes:
        address: `http://` or `https://`, host, port and path, as `normalised` gives it.
        headers: to send with each request; holds the token.
        ray_version: that the cluster runs.
        notices: what the user should know.
    """

    address: str
    headers: Mapping[str, str] = field(repr=False)
    ray_version: str
    notices: tuple[str, ...] = ()


def reach(address: str, *, token_file: Path | None = None) -> Access:
    """Find out which Ray answers, and with which token.

    Args:
        address: of the dashboard, `http://HEAD:8265`; without a scheme it counts as http.
        token_file: file with the token; default: where Ray looks (`find_token`).

    Raises:
        UsageError: nothing answers in time, no Ray answers, or the token is missing or wrong.
    """
    url = normalised(address)
    return _within(DEADLINE_S, lambda: _ask(url, token_file), url)


def normalised(address: str) -> str:
    """The address as scheme, host, port and path, without a slash at its end.

    Raises:
        UsageError: it is no http address, or carries a password.
    """
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
    except ValueError:  # not repeated: who knows where a password stands in it
        raise UsageError(
            "--address is no address: give the dashboard's, http://HEAD:8265"
        ) from None
    if "@" in parts.netloc:
        raise UsageError("--address must not hold a password: put the token into --token-file")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"--address {address!r} is no address of a Jobs API: give the dashboard's, "
            "http://HEAD:8265"
        )
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def find_token(
    token_file: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Token | None:
    """The token where Ray looks for it, in Ray's order; None where there is none.

    `token_file`, then `RAY_AUTH_TOKEN`, then the file of `RAY_AUTH_TOKEN_PATH`, then
    `~/.ray/auth_token`.

    Raises:
        UsageError: a file that was named cannot be read, or what is there is no token.
    """
    if token_file is not None:
        return _read(token_file, "--token-file")
    if value := environment.get("RAY_AUTH_TOKEN", "").strip():
        return _checked(value, "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN")
    if named := environment.get("RAY_AUTH_TOKEN_PATH"):
        return _read(Path(named), "RAY_AUTH_TOKEN_PATH")
    try:
        default = Path.home() / ".ray" / "auth_token"
    except RuntimeError:  # a user without a home
        return None
    return _read(default, "Ray's own file") if default.is_file() else None


def is_loopback(url: str) -> bool:
    """Whether requests to this URL stay on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(path: Path, said_by: str) -> Token:
    try:
        value = path.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError, RuntimeError) as error:  # RuntimeError: no such home
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        reason = str(error) if isinstance(error, RuntimeError) else reason
        raise UsageError(f"the token's file {path} ({said_by}) cannot be read: {reason}") from None
    return _checked(value, str(path), f"{path} ({said_by})")


def _checked(value: str, source: str, shown: str) -> Token:
    if not value or not value.isascii() or not value.isprintable():
        raise UsageError(f"{shown} holds no token: it should hold one line of letters")
    return Token(value=value, source=source)


def _ask(url: str, token_file: Path | None) -> Access:
    answer = _version(url, {})
    if answer.status_code not in _REFUSED:
        return Access(address=url, headers={}, ray_version=_ray_version(url, answer))
    token = find_token(token_file)
    if token is None:
        raise UsageError(
            f"the cluster at {url} asks for a token, and there is none: pass --token-file, set "
            "RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, or copy the cluster's to ~/.ray/auth_token "
            "(`ray get-auth-token` on its head shows it)"
        )
    headers = {"Authorization": f"Bearer {token.value}"}
    answer = _version(url, headers)
    if answer.status_code in _REFUSED:
        raise UsageError(
            f"the cluster at {url} does not take the token from {token.source}: it is another "
            "cluster's or an old one; `ray get-auth-token` on its head shows the right one"
        )
    notices = []
    if urlsplit(url).scheme == "http" and not is_loopback(url):
        notices.append(
            f"the token travels to {urlsplit(url).netloc} in plain text: prefer a tunnel "
            "(`ray dashboard cluster.yaml`, then http://localhost:8265) or https"
        )
    return Access(
        address=url,
        headers=headers,
        ray_version=_ray_version(url, answer),
        notices=tuple(notices),
    )


def _version(url: str, headers: Mapping[str, str]) -> requests.Response:
    try:
        return requests.get(
            f"{url}/api/version",
            headers=dict(headers),
            timeout=_REQUEST_S,
            allow_redirects=False,  # a token must not follow one
        )
    except requests.exceptions.SSLError as error:
        raise UsageError(
            f"the certificate of {url} is not trusted ({error.args[0]}): name the authority's file "
            "in REQUESTS_CA_BUNDLE"
        ) from None
    except requests.exceptions.RequestException as error:
        raise _unreachable(url, type(error).__name__) from None


def _ray_version(url: str, answer: requests.Response) -> str:
    try:
        return str(answer.json()["ray_version"])
    except (requests.exceptions.JSONDecodeError, KeyError, TypeError):
        raise UsageError(
            f"what answers at {url} is no Ray dashboard (HTTP {answer.status_code}): give the "
            "address of the cluster's dashboard, http://HEAD:8265"
        ) from None


def _unreachable(url: str, reason: str) -> UsageError:
    return UsageError(
        f"no cluster answers at {url} ({reason}): is it up, and is the tunnel open "
        "(`ray dashboard cluster.yaml`)?"
    )


def _within(seconds: float, ask: Callable[[], Access], url: str) -> Access:
    """Do it in a thread that may be left behind: a name look-up has no time-out."""
    found: list[Access | BaseException] = []

    def work() -> None:
        try:
            found.append(ask())
        except BaseException as error:  # noqa: BLE001 - raised again below
            found.append(error)

    thread = threading.Thread(target=work, name="frostline-reach", daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise _unreachable(url, f"no answer within {seconds:.0f} s")
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]
