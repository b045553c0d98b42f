"""Files that are whole or absent: temporary name, fsync, rename; digests; canonical JSON."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
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
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise OutputError(f"cannot write {path}: it is a directory; name a file")
        if path.exists() and not path.is_file():
            # A rename would put a file where a device was (/dev/null, as root).
            raise OutputError(f"cannot write {path}: it is a device or a pipe; name a file")
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix
        )
        os.close(handle)
        temporary = Path(name)
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


def nearest(word: str, known: Any) -> str | None:
    """The entry of ``known`` most like ``word`` («did you mean»); ``None`` where none is near."""
    import difflib

    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return found[0] if found else None
