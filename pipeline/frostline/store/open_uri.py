"""From a URI to an open file system, with Arrow's options and two for retries on S3.

In: a URI with options in its query, as `pyarrow.fs.FileSystem.from_uri` takes them. `s3://` takes
two more, which Arrow's URIs do not have: `max_attempts` (attempts at a request before it counts as
failed; 8) and `timeout_s` (seconds after which a request without an answer is given up; 30). `gs://`
has Arrow's own `retry_limit_seconds`; its default is 30 here, and a quarter of an hour in Arrow.
Out: the file system, and the path within it.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pyarrow.fs import AwsStandardS3RetryStrategy, FileSystem, S3FileSystem

ATTEMPTS = 8
TIMEOUT_S = 30.0
_CONNECT_S = 5.0
_GOOGLE = frozenset({"gs", "gcs"})
_NOT_COPIED = frozenset({"tls_ca_dir_path", "tls_verify_certificates", "smart_defaults"})


def open_uri(uri: str) -> tuple[FileSystem, str]:
    """Open the place that a URI names.

    Raises:
        ValueError, ImportError, NotImplementedError: Arrow does not take the URI.
        OSError: what it names cannot be reached.
    """
    parts = urlsplit(uri)
    if parts.scheme in _GOOGLE and "retry_limit_seconds" not in dict(parse_qsl(parts.query)):
        limit = f"retry_limit_seconds={TIMEOUT_S:g}"
        parts = parts._replace(query=f"{parts.query}&{limit}" if parts.query else limit)
        uri = urlunsplit(parts)
    if parts.scheme != "s3":
        filesystem, base = FileSystem.from_uri(uri)
        return filesystem, base
    said = dict(parse_qsl(parts.query, keep_blank_values=True))
    ours = {name for name in ("max_attempts", "timeout_s") if name in said}
    attempts = _positive(said.pop("max_attempts", ATTEMPTS), "max_attempts")
    timeout_s = _positive(said.pop("timeout_s", TIMEOUT_S), "timeout_s")
    # A small file goes in one request; Arrow would make it a multipart upload of three.
    said.setdefault("allow_delayed_open", "true")
    filesystem, base = FileSystem.from_uri(urlunsplit(parts._replace(query=urlencode(said))))
    if lost := _NOT_COPIED.intersection(said):
        if ours:
            raise ValueError(f"{', '.join(ours)} cannot be combined with {', '.join(lost)}")
        return filesystem, base  # with the SDK's own retries
    # The pickled state of a file system holds its constructor's arguments; this is how to add
    # options that a URI cannot name.
    _, (options,) = filesystem.__reduce__()
    patience = {"connect_timeout": min(_CONNECT_S, timeout_s), "request_timeout": timeout_s}
    patient = S3FileSystem(
        **(options | patience),
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=int(attempts)),
    )
    return patient, base


def _positive(text: str | float, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(f"{name}={text} is no positive number")
    return number
