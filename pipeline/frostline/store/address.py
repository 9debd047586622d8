"""Where an OUT lies: a path or a URI, which may hold keys that nobody else may see.

In: what the user passed. Out: `Address`, which shows itself without keys wherever it is printed,
logged or formatted, and gives the whole text only to `reveal`. An address travels to other
processes by pipe, environment or Ray, never as an argument, which every user of a machine can list.
Refuses what is no address, without repeating it.

Which parts are secret: the user's name and password of a URI, but for the container of `abfs://`
and the user of `hdfs://`; and every option of the query that is not known to be harmless.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from frostline.errors import SweepError

_NAMES_A_PLACE = frozenset({"abfs", "abfss", "hdfs", "viewfs"})
"""Schemes whose user is no secret: a container, or a name without a password."""

_HARMLESS = frozenset({
    "allow_bucket_creation", "allow_bucket_deletion", "allow_delayed_open", "background_writes",
    "blob_storage_authority", "blob_storage_scheme", "buffer_size", "connect_timeout",
    "credential_kind", "default_block_size", "dfs_storage_authority", "dfs_storage_scheme",
    "enable_tls", "endpoint_override", "force_virtual_addressing", "max_attempts", "region",
    "replication", "request_timeout", "retry_limit_seconds", "scheme", "smart_defaults",
    "timeout_s", "tls_verify_certificates",
})  # fmt: skip
_HIDDEN = "***"
_SHORT = 4
"""Secrets shorter than this are hidden behind their names only: they occur in any text."""


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """A local path or a URI.

    Attributes:
        shown: for messages; without user, password and query.
        command_form: the same with its harmless options, to be pasted into a command.
        identity: what tells the place from others: without keys and timeouts, with the endpoint.
    """

    shown: str
    command_form: str
    identity: str
    _text: str = field(compare=False)

    @classmethod
    def parse(cls, place: str | os.PathLike[str] | Address) -> Address:
        """Take what the user passed.

        Raises:
            SweepError: it is empty, no URI, no UTF-8, or below the home (`~`) of nobody.
        """
        if isinstance(place, Address):
            return place
        text = os.fspath(place)
        if not text:
            raise SweepError("the output folder is an empty name: pass a path or a URI")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise SweepError(
                f"{text}: the name is not UTF-8, which the readers of Parquet need: rename it"
            ) from None
        if "\0" in text:
            raise SweepError("the output folder's name holds a null character: correct it")
        if "://" not in text:
            _refuse_unknown_home(text)
            return cls(text, text, text, text)
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            scheme = text.partition("://")[0]
            raise SweepError(
                f"what follows {scheme}:// is no address: pass a path or a URI such as "
                "s3://bucket/folder?region=eu-west-1"
            ) from None
        shown = f"{parts.scheme}://{_shown_netloc(parts)}{parts.path}"
        options = [(name, value) for name, value in _options(parts) if _is_harmless(name, value)]
        endpoint = dict(options).get("endpoint_override", "")
        return cls(
            shown=shown,
            command_form=f"{shown}?{urlencode(options)}" if options else shown,
            identity=f"{shown.rstrip('/')} {endpoint}",
            _text=text,
        )

    @property
    def is_uri(self) -> bool:
        """Whether it names a store by its scheme; else it is a path on this machine."""
        return "://" in self._text

    @property
    def holds_keys(self) -> bool:
        """Whether it must not be told to others."""
        return bool(self._secrets())

    def reveal(self) -> str:
        """The whole text, keys included; used only to open the place."""
        return self._text

    def scrub(self, text: str) -> str:
        """A text from elsewhere, such as a library's error, without the keys that it may repeat."""
        for name, secret in self._secrets():
            text = text.replace(self._text, self.shown)
            for form in {secret, unquote(secret), quote(secret, safe="")}:
                if name:
                    text = text.replace(f"{name}={form}", f"{name}={_HIDDEN}")
                if len(form) >= _SHORT:
                    text = text.replace(form, _HIDDEN)
        return text

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"

    def _secrets(self) -> list[tuple[str, str]]:
        """Secrets with the names of their options, empty for a user and a password."""
        if not self.is_uri:
            return []
        parts = urlsplit(self._text)
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        found = [("", password)]
        if parts.scheme not in _NAMES_A_PLACE and (parts.scheme, user) != ("gs", "anonymous"):
            found.append(("", user))
        found += [pair for pair in _options(parts) if not _is_harmless(*pair)]
        return [(name, secret) for name, secret in found if secret]


def _refuse_unknown_home(path: str) -> None:
    try:
        Path(path).expanduser()
    except RuntimeError:
        raise SweepError(
            f"{path}: nobody knows the home that {Path(path).parts[0]} stands for: write the "
            "folder's whole path"
        ) from None


def _options(parts: SplitResult) -> list[tuple[str, str]]:
    return parse_qsl(parts.query, keep_blank_values=True)


def _is_harmless(name: str, value: str) -> bool:
    return name in _HARMLESS and "@" not in value


def _shown_netloc(parts: SplitResult) -> str:
    user, at, host = parts.netloc.rpartition("@")
    if at and parts.scheme in _NAMES_A_PLACE and (name := user.partition(":")[0]):
        return f"{name}@{host}"
    return host
