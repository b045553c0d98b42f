"""The verb bench history, and what bench keeps for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeprune.errors import InputError
from edgeprune.files import SCHEMA, check_folder, write_bytes
from edgeprune.measurements import wrong_outputs
from edgeprune.verbs.sources import Facts, placed


def history_of(
    folder: Path,
    *,
    file: str | None = None,
    plot: Path | None = None,
    max_slowdown: float | None = None,
) -> Facts:
    """The series of a folder of results; of one file where its name is given.

    Args:
        plot: where an ``.svg`` of them goes.
        max_slowdown: share by which the newest results may be slower than those before.

    Raises:
        InputError: no such folder, result, or file in it; a plot by another ending.
    """
    from edgeprune.benchmarking.histories import newest, read_history

    if plot is not None:
        placed(plot, ".svg")
    series = read_history(folder)
    if file is not None:
        known = ", ".join(dict.fromkeys(each.key["file"] for each in series))
        series = [each for each in series if each.key["file"] == file]
        if not series:
            raise InputError(f"{folder}: no result of {file!r}; there are {known}")
    judged = newest(series)
    told = [each.facts(max_slowdown if each in judged else None) for each in series]
    facts: dict[str, Any] = {"schema": SCHEMA, "series": told}
    if plot is not None:
        from edgeprune.reporting.histories import history_plot

        write_bytes(plot, history_plot(facts["series"]).encode())
        facts["plot"] = str(plot)
    return facts


def keepable(folder: Path, artifacts: Sequence[Path], *, timed: bool) -> None:
    """Refuse a folder for results before any work.

    Raises:
        InputError: nothing will be timed that could be kept, or two files have one name, by which
            a history knows them.
        OutputError: it cannot be written.
    """
    names = [each.name for each in artifacts]
    if len(set(names)) < len(names):
        raise InputError(f"--save: two files have one name ({', '.join(names)}); rename one")
    if not timed:
        raise InputError("--save keeps what was timed, not counts, cold starts or comparisons")
    check_folder(folder)


def keeping(facts: Facts) -> Facts | None:
    """What bench found without what is no result: files with wrong outputs, and the errors of
    targets that failed, which name hosts; ``None`` where nothing is left."""
    each = facts.get("measurements", [facts])
    right = [one for one in each if not wrong_outputs(one)]
    if not right:
        return None
    if "measurements" not in facts:
        return facts
    about = {key: value for key, value in facts.items() if key != "failed"}
    return {**about, "measurements": right}


def kept(facts: Facts, folder: Path) -> Path:
    """Save what bench found in a folder of results."""
    from edgeprune.benchmarking.histories import save_result

    return save_result(facts, folder)
