"""The system's cache of files, on this machine or on a board: part of the agent."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from pathlib import Path


def drop_cached(path: Path) -> str:
    """Take a file's pages out of the system's cache.

    Returns:
        Why it is still in there; empty where it is not.
    """
    if not hasattr(os, "posix_fadvise"):
        return "the system has no call to drop a file from its cache"
    with path.open("rb") as file:
        with contextlib.suppress(OSError):
            os.fsync(file.fileno())  # a page that is not written yet cannot go
        try:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            return f"the system does not drop it: {error.strerror}"
        resident = _resident(file.fileno())
    if resident is None:
        return "the system does not tell whether the file left its cache"
    if resident:
        return f"{resident} pages of the file stay in the system's cache (its file system keeps it)"
    return ""


def _resident(number: int) -> int | None:
    """Pages of an open file in the system's cache, by ``mincore``; ``None``: it does not tell."""
    size = os.fstat(number).st_size
    if size == 0:
        return 0
    try:
        told = ctypes.CDLL(None, use_errno=True).mincore
    except (AttributeError, OSError):
        return None
    # A private mapping is writable to ctypes, which asks for its address, and never written.
    with mmap.mmap(number, size, access=mmap.ACCESS_COPY) as mapped:
        pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
        place = ctypes.c_char.from_buffer(mapped)
        failed = told(ctypes.c_void_p(ctypes.addressof(place)), ctypes.c_size_t(size), pages)
        del place
    return None if failed else sum(page & 1 for page in pages)
