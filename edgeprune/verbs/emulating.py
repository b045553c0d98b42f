"""The verb on the emulated ARM: whether it is set up, and setting it up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune.progress import SILENT, Progress
from edgeprune.verbs.sources import Facts

if TYPE_CHECKING:
    from edgeprune.emulation import Download


def emulate(
    *,
    setup: bool = False,
    announce: Callable[[str], None] = lambda line: None,
    progress: Progress = SILENT,
) -> Facts:
    """What is set up of the emulated ARM; with ``setup`` it is made where it is not there.

    Args:
        setup: download and unpack what is missing.
        announce: is told what will be downloaded, a line each, before anything is.
        progress: shows the steps.

    Returns:
        ``set_up``, ``folder``; where it is set up ``archives`` and ``versions``; with ``setup``
        whether anything was ``downloaded``.

    Raises:
        EmulationError: it cannot be set up here; says why.
    """
    from edgeprune.emulation import Land, home, set_up

    if not setup:
        found = Land.found()
        if found is None:
            return {"set_up": False, "folder": str(home())}
        return found.facts()

    def said(downloads: Sequence[Download], folder: Path) -> None:
        for each in downloads:
            size = "of unknown size" if each.size is None else f"{each.size / 1e6:.1f} MB"
            announce(f"will download {each.what}: {each.files} files, {size}")
        announce(f"into {folder}")

    land, downloaded = set_up(said, progress)
    return {**land.facts(), "downloaded": downloaded}
