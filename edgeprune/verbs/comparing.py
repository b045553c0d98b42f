"""The verb bench where saved results are compared, and what a limit on slowdown makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.errors import InputError
from edgeprune.files import SCHEMA
from edgeprune.measurements import Measurement
from edgeprune.verbs.sources import Facts

if TYPE_CHECKING:
    from edgeprune.benchmarking.comparing import Comparison

CANNOT_TELL = 4
"""Exit code where a limit on slowdown can be called neither kept nor broken."""
BROKEN = 3


def compare_saved(
    files: Sequence[Path], *, anyway: bool = False, max_slowdown: float | None = None
) -> Facts:
    """Compare two saved results, file by file, or within one result its first file with the others.

    Raises:
        InputError: no result of bench, nothing in common, or other devices, runtimes or settings,
            which ``anyway`` allows.
    """
    from edgeprune.benchmarking.comparing import compare, matched
    from edgeprune.benchmarking.saved import read_saved

    if len(files) not in (1, 2):
        raise InputError("--compare takes two results, before and after, or one with several files")
    read = [[each.measurement for each in read_saved(path)] for path in files]
    if len(read) == 1:
        apart = {each.target: [one for one in read[0] if one.target == each.target]
                 for each in read[0]}  # fmt: skip
        told = [each for some in apart.values() for each in paired(some, max_slowdown)]
        if not told:
            raise InputError(f"{files[0]}: holds one file; give a second result to compare it with")
        return {"schema": SCHEMA, "comparisons": told}
    pairs = matched(*read)
    if not pairs:
        names = [", ".join(each.file for each in some) for some in read]
        raise InputError(f"{files[0]} has {names[0]}, {files[1]} has {names[1]}: nothing in common")
    if not anyway:
        _check_alike(pairs, files)
    found = [compare(before, after, paired=False) for before, after in pairs]
    return {"schema": SCHEMA, "comparisons": _told(found, max_slowdown)}


def paired(measurements: Sequence[Measurement], max_slowdown: float | None) -> list[Facts]:
    """The first of files that were measured in turns, beside each of the others."""
    from edgeprune.benchmarking.comparing import compare

    first, *others = measurements
    return _told([compare(first, each, paired=True) for each in others], max_slowdown)


def gate_code(outcomes: Iterable[str]) -> int:
    """The exit code of limits on slowdown: 3 where one is broken, 4 where one cannot be told."""
    found = set(outcomes)
    return BROKEN if "broken" in found else CANNOT_TELL if "cannot tell" in found else 0


def outcomes_of(facts: Facts) -> list[str]:
    """Of every comparison, or series of a history, that a limit was set on."""
    each = [*facts.get("comparisons", ()), *facts.get("series", ())]
    return [one["outcome"] for one in each if "outcome" in one]


def _told(found: Sequence[Comparison], max_slowdown: float | None) -> list[dict[str, Any]]:
    return [each.facts(max_slowdown) for each in found]


def _check_alike(pairs: Sequence[tuple[Measurement, Measurement]], files: Sequence[Path]) -> None:
    from edgeprune.benchmarking.comparing import differences

    for before, after in pairs:
        apart = differences(before, after)
        if apart:
            raise InputError(
                f"{files[0]} and {files[1]}: {after.file} was measured with another "
                f"{' and another '.join(apart)}; --anyway compares them all the same"
            )
