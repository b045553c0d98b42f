"""Converters talk, in Python and in C++; what they say is for an error, not for the user."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import BinaryIO

_LOGGERS = ("absl", "tensorflow", "tf2onnx")


class Chatter:
    """What was said inside a :func:`quiet` block."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def tail(self, limit: int = 4000) -> str:
        """The last ``limit`` bytes of it, escape sequences left out."""
        self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, self._file.tell() - limit))
        text = self._file.read().decode("utf-8", errors="replace")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@contextlib.contextmanager
def quiet() -> Iterator[Chatter]:
    """Keep file descriptor 2, TensorFlow's loggers and warnings from the user meanwhile.

    The descriptor is the process': what other threads write to it goes the same way.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with tempfile.TemporaryFile() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _flush()
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield Chatter(file)
        finally:
            _flush()
            os.dup2(saved, 2)
            os.close(saved)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _flush() -> None:
    with contextlib.suppress(AttributeError, ValueError, OSError):
        sys.stderr.flush()
