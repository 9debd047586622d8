"""Turns a store's errors into words: the reason, what to do, and whether waiting may help.

In: an error of the system or of Arrow. Out: `StorageError` with what failed, where and what to do;
`StoreUnreachableError` where the same request may well succeed in a while, `DamagedError` where
something else lies in the place of a file or folder, or nothing can lie there.
"""

from __future__ import annotations

import errno
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa

from frostline.errors import DamagedError, StorageError, StoreUnreachableError

_BY_NUMBER = {
    errno.ENOSPC: "the disk is full: free some space, then run the same command again to resume",
    errno.EDQUOT: "the disk quota is used up: free some space, then run the same command again",
    errno.EACCES: "permission denied: choose a folder you can write to, or fix its permissions",
    errno.EPERM: "permission denied: choose a folder you can write to, or fix its permissions",
    errno.EROFS: "the file system is read-only: choose another --out",
    errno.EMFILE: "too many open files: raise `ulimit -n`",
}
_LINK = (
    "is a symbolic link, and none inside of an output folder is followed: put a folder or file of "
    "its own in its place (the output folder itself may be reached through a link)"
)
_WRONG_PLACE = {
    errno.ENOTDIR: "a file stands where a folder is needed: move it away, or choose another --out",
    errno.EEXIST: "a file stands where a folder is needed: move it away, or choose another --out",
    errno.EISDIR: "a folder stands where a file is needed: move it away, or choose another --out",
    errno.ENAMETOOLONG: "the name is too long for this file system: choose a shorter --out",
}
_CHECK = "check that it can be reached, then run the same command again"

# Texts of the object stores' SDKs within Arrow's messages, since Arrow gives every error of S3 the
# number EIO.
_REFUSED = (
    (
        r"ACCESS_DENIED|HTTP status 403|PERMISSION_DENIED|Forbidden|AuthorizationFailure",
        "access denied: these credentials may not do this there; correct them, or the bucket's "
        "policy, then run the same command again",
    ),
    (
        r"INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|EXPIRED_TOKEN|ExpiredToken|HTTP status 401"
        r"|UNAUTHENTICATED|MISSING_AUTHENTICATION_TOKEN",
        "the store does not accept the credentials: renew them (instance profile, environment or "
        "~/.aws), then run the same command again",
    ),
    (
        r"NO_SUCH_BUCKET|bucket does not exist|Bucket '.*' not found",
        "there is no such bucket: make it, or correct --out",
    ),
    (
        r"PERMANENT_REDIRECT|HTTP status 301|AuthorizationHeaderMalformed",
        "the bucket is in another region: say which with ?region=... in --out",
    ),
)  # fmt: skip
_MAY_PASS = (
    r"NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|INTERNAL_FAILURE|SERVICE_UNAVAILABLE|REQUEST_TIMEOUT"
    r"|RequestTimeout|HTTP status (?:429|5\d\d)|UNAVAILABLE|DEADLINE_EXCEEDED|curlCode"
)


@contextmanager
def storage_errors(doing: str, where: str, scrub: Callable[[str], str] = str) -> Iterator[None]:
    """Turn errors of the system into `StorageError`: what failed, where, and what to do.

    Args:
        doing: `write`, `read`, `list`, `remove`.
        where: path or URI as the user knows it.
        scrub: takes keys out of what the system says.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise storage_error(f"cannot {doing} {where}", error, scrub) from None


def refuse_special(mode: int, shown: str) -> None:
    """Refuse what is no regular file: reading a pipe or a device may never end.

    Args:
        mode: as `stat` gives it.
        shown: what to call it in the message.

    Raises:
        DamagedError: it is a folder, a pipe, a socket or a device.
    """
    if stat.S_ISDIR(mode):
        raise DamagedError(f"cannot read {shown}: {_WRONG_PLACE[errno.EISDIR]}")
    if not stat.S_ISREG(mode):
        raise DamagedError(
            f"cannot read {shown}: it is a pipe, a socket or a device, not a file: move it away"
        )


def storage_error(what: str, error: Exception, scrub: Callable[[str], str] = str) -> StorageError:
    """The error to raise for one of the system's.

    Args:
        what: what failed and where.
        error: why.
        scrub: takes keys out of it.
    """
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, OSError) and number == errno.ELOOP and error.filename:
        return DamagedError(f"{what}: {error.filename} {_LINK}")
    if number in _WRONG_PLACE:
        return DamagedError(f"{what}: {_WRONG_PLACE[number]}")
    if number in _BY_NUMBER:
        return StorageError(f"{what}: {_BY_NUMBER[number]}")
    said = scrub(" ".join(str(error).split()))
    for pattern, advice in _REFUSED:
        if re.search(pattern, said):
            return StorageError(f"{what}: {advice} ({said})")
    if re.search(_MAY_PASS, said):
        return StoreUnreachableError(f"{what}: {said}; {_CHECK}")
    return StorageError(f"{what}: {said}; {_CHECK}")
