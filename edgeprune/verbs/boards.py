"""The verb that prepares a board."""

from __future__ import annotations

from edgeprune.progress import SILENT, Progress
from edgeprune.verbs.sources import Facts


def prepare_board(
    name: str, *, ssh: str | None = None, remove: bool = False, progress: Progress = SILENT
) -> Facts:
    """Install a target's runtimes on its board, or remove them; facts as
    :func:`edgeprune.benchmarking.preparing.prepare` gives them.

    Args:
        name: of the profile.
        ssh: the board; else as the environment or the user's list says.
        remove: take away what was installed.
        progress: shows the steps.

    Raises:
        RecipeError: no such profile.
        InputError: nothing says where the board is.
        DeviceError: the board cannot be reached, or not prepared.
    """
    from edgeprune.benchmarking.preparing import prepare, unprepare
    from edgeprune.benchmarking.reaching import reached
    from edgeprune.targets import Target

    target = Target.load(name)
    transport, python = reached(target, ssh)
    try:
        if remove:
            return unprepare(target, transport, python=python)
        return prepare(target, transport, python=python, progress=progress)
    finally:
        transport.clean()
