"""Files that are whole or absent: temporary name, fsync, rename; digests; JSON; the time."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgeprune.errors import OutputError

SCHEMA = 1
"""Version of every file format of ours: recipes, profiles, plans, scores, manifests."""


def canonical_json(value: Any) -> bytes:
    """``value`` as JSON whose bytes are a function of ``value`` alone (sorted keys, LF at the end).

    NaN and infinities are refused (``ValueError``): they are no JSON.
    """
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def digest_of(value: Any) -> str:
    """sha256 (hex) of :func:`canonical_json`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def sha256_file(path: Path) -> str:
    """sha256 (hex) of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def writing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is fsynced and becomes ``path``.

    The temporary name keeps the suffix, for writers that choose a format by it. On any failure
    (Ctrl-C included) the temporary file is removed and ``path`` is as it was.

    Raises:
        OutputError: the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    with mapped_os_errors(path):
        _refuse_no_file(path)
        _nearest_folder(path, path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path, path.parent)
        try:
            yield temporary
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            fsync(temporary)
            temporary.replace(path)
            fsync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def check_file(path: Path | str) -> None:
    """Fail now, not after the work, where :func:`writing` could not write ``path``; nothing stays.

    Raises:
        OutputError: it is no file, lies below one, or its folder cannot be made or written.
    """
    path = Path(path)
    with mapped_os_errors(path):
        _refuse_no_file(path)
        _temporary(path, _nearest_folder(path, path.parent)).unlink()


def check_folder(path: Path | str) -> None:
    """:func:`check_file` for a folder that files are to be written into.

    Raises:
        OutputError: it is a file, lies below one, or cannot be made or written.
    """
    path = Path(path)
    with mapped_os_errors(path):
        _temporary(path, _nearest_folder(path, path)).unlink()


def _refuse_no_file(path: Path) -> None:
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a directory; name a file")
    if path.exists() and not path.is_file():
        # A rename would put a file where a device was (/dev/null, as root).
        raise OutputError(f"cannot write {path}: it is a device or a pipe; name a file")


def _nearest_folder(path: Path, folder: Path) -> Path:
    """``folder``, or the first above it that is there: in it the rest would be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise OutputError(f"cannot write {path}: {folder} is a file; choose another place")
    return folder


def _temporary(path: Path, folder: Path) -> Path:
    """An empty file in ``folder``, of a name that nobody has."""
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{path.stem}.", suffix=path.suffix)
    except FileNotFoundError as error:
        # The folder is there, and the system lets nobody make a file in it (/proc).
        raise OutputError(
            f"cannot write {path}: no file can be made there; choose another place"
        ) from error
    os.close(handle)
    return Path(name)


@contextlib.contextmanager
def mapped_os_errors(path: Path) -> Iterator[None]:
    """Turn what the system says of a write to ``path`` into an :class:`OutputError`."""
    try:
        yield
    except OSError as error:
        # h5py and zipfile lose the number of a full disk and keep its text.
        if error.errno == errno.ENOSPC or "No space left" in str(error):
            raise OutputError(
                f"cannot write {path}: no space left on the device; free some and run again"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            reason = os.strerror(error.errno)
            raise OutputError(f"cannot write {path}: {reason}; choose another place") from error
        if error.errno == errno.ENOENT and error.filename in map(str, (path, *path.parents)):
            # Of a folder that we make ourselves: the system lets nobody make one there (/proc).
            raise OutputError(
                f"cannot write {path}: no folder can be made there; choose another place"
            ) from error
        raise


def fsync(path: Path) -> None:
    """Ask the system to put a file's, or a folder's, bytes on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with writing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` to ``path`` as :func:`canonical_json`, whole or not at all."""
    write_bytes(path, canonical_json(value))


def now() -> str:
    """The time as our files write it: ISO 8601, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def listed(names: Sequence[str], most: int) -> str:
    """Names in a line; of more than ``most`` the rest is counted."""
    rest = len(names) - most
    return ", ".join([*names[:most], *([f"and {rest} more"] if rest > 0 else [])])


def percent(share: float, digits: int = 2) -> str:
    """A share in per cent; what is not all is never rounded to 100 %, nor what is there to 0 %."""
    text, least = f"{share:.{digits}%}", 10.0**-digits
    if share < 1 and text == f"{1:.{digits}%}":
        return f"over {100 - least:.{digits}f}%"
    if share > 0 and text == f"{0:.{digits}%}":
        return f"below {least:.{digits}f}%"
    return text


def nearest(word: str, known: Any) -> str | None:
    """The entry of ``known`` most like ``word`` («did you mean»); ``None`` where none is near."""
    import difflib

    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return found[0] if found else None
