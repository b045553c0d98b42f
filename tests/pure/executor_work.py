"""Functions that the tests of executors send to other processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from edgeprune.errors import DataError


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    raise DataError(f"{number}: refused")


def die_once(item: tuple[int, str]) -> int:
    """Kills its own process the first time that number 3 comes."""
    number, folder = item
    mark = Path(folder) / "died"
    Path(folder, f"ran-{number}-{os.getpid()}").touch()
    if number == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number
