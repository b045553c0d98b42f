"""The verb bench where files are timed: facts of the files, and how they compare."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.errors import InputError
from edgeprune.files import SCHEMA
from edgeprune.measurements import Measurement, unavailable
from edgeprune.progress import SILENT, Progress
from edgeprune.verbs.comparing import paired
from edgeprune.verbs.sources import Facts

if TYPE_CHECKING:
    from edgeprune.targets import Target
    from edgeprune.transports import Transport


def timed_facts(
    artifacts: Sequence[Path],
    profile: Target,
    *,
    runs: int | None = None,
    warmup: int | None = None,
    threads: int | None = None,
    batch: int | None = None,
    seconds: float | None = None,
    cold: bool = False,
    max_slowdown: float | None = None,
    transport: Transport | None = None,
    python: str | None = None,
    sustained: float | None = None,
    start_below: float | None = None,
    profile_nodes: bool = False,
    progress: Progress = SILENT,
) -> Facts:
    """Time files on a target, by ``transport`` where it is a board, in ``python`` there. ``runs``
    and ``seconds`` are as the library has them where ``None``; where ``seconds`` alone is given, as
    few runs as a figure takes."""
    from edgeprune.benchmarking.reaching import place_of

    asked = {"cold": cold, "runs": runs, "warmup": warmup, "seconds": seconds}
    _check(
        artifacts, {**asked, "max-slowdown": max_slowdown}, sustained, start_below, profile_nodes
    )
    each: dict[str, Any] = {"threads": threads, "batch": batch}
    with place_of(profile, transport, python) as place:
        each["place"] = place
        if profile_nodes:
            from edgeprune.benchmarking.profiling import profile_file

            told = [profile_file(path, profile, **each) for path in artifacts]
            return gathered(profile.name, _sourced(told))
        each["progress"] = progress
        if sustained is not None:
            from edgeprune.benchmarking.sustained import sustain

            # One after the other; the next one waits at the gate until the machine is cool.
            ran = [
                sustain(path, profile, sustained, start_below=start_below, **each).facts()
                for path in artifacts
            ]
            return gathered(profile.name, _sourced(ran))
        if cold:
            from edgeprune.benchmarking.cold import RUNS, bench_cold

            starts = bench_cold(artifacts, profile, runs=RUNS if runs is None else runs, **each)
            return gathered(profile.name, _sourced([start.facts() for start in starts]))
        from edgeprune.benchmarking.rounds import LEAST_RUNS, ROUNDS, SECONDS, WARMUP, bench_files

        found = bench_files(
            artifacts,
            profile,
            runs=runs or (LEAST_RUNS if seconds is None else ROUNDS),
            warmup=WARMUP if warmup is None else warmup,
            seconds=SECONDS if seconds is None else seconds,
            **each,
        )
    facts = gathered(profile.name, measured_facts(found))
    # What answers wrongly is neither faster nor slower than anything.
    if len(found) > 1 and not any(one.wrong for one in found):
        facts["comparisons"] = paired(found, max_slowdown)
    return facts


def _check(
    artifacts: Sequence[Path],
    timed: Mapping[str, Any],
    sustained: float | None,
    start_below: float | None,
    profile_nodes: bool,
) -> None:
    """Refuse what does not go together, before a board is held; ``timed`` has the flags of warm and
    cold runs by their names."""
    if profile_nodes:
        _alone("profile", {**timed, "sustained": sustained, "start-below": start_below})
    elif sustained is not None:
        from edgeprune.benchmarking.sustained import check_seconds

        check_seconds(sustained)
        _alone("sustained", timed)
    elif start_below is not None:
        raise InputError("--start-below is the gate of --sustained; give both")
    elif timed["max-slowdown"] is not None and (timed["cold"] or len(artifacts) < 2):
        raise InputError(
            "--max-slowdown compares what was timed in turns: give a second file, or saved results "
            "to --compare"
        )
    elif timed["cold"]:
        for name in ("seconds", "warmup"):
            if timed[name] is not None:
                raise InputError(
                    f"--cold takes --runs, not --{name}: each run is a process of its own"
                )


def _alone(what: str, given: Mapping[str, Any]) -> None:
    """Refuse what has no meaning beside ``--what``, which runs in its own way."""
    for name, value in given.items():
        if value is not None and value is not False:
            raise InputError(f"--{name} and --{what} do not go together; give one")


def measured_facts(found: Sequence[Measurement]) -> list[Facts]:
    """What ``--json`` prints of each, with its validity and what it was made by."""
    from edgeprune.benchmarking.validity import validity

    return _sourced([{**each.facts(), **validity(each)} for each in found])


def _sourced(found: Sequence[Facts]) -> list[Facts]:
    """With what made them, asked once."""
    made = source()
    return [{**each, "source": made} for each in found]


def gathered(target: str, found: Sequence[Facts]) -> Facts:
    """One object for one file; several stand in ``measurements``."""
    if len(found) == 1:
        return {"schema": SCHEMA, **found[0]}
    about = {key: found[0][key] for key in ("via", "emulated")}
    return {"schema": SCHEMA, "target": target, **about, "measurements": list(found)}


def source() -> dict[str, Any]:
    """What made a measurement: versions, and the commit of the working directory, ``dirty`` where
    tracked files of it have changes."""
    from edgeprune.versions import PACKAGE, installed

    return {
        "edgeprune": installed(PACKAGE) or "unknown",
        "python": platform.python_version(),
        **_commit(),
    }


def _commit() -> dict[str, Any]:
    try:
        commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "-uno")
    except (OSError, subprocess.SubprocessError):
        none = unavailable("the working directory is in no git repository with a commit")
        return {"commit": none, "dirty": none}
    return {"commit": commit, "dirty": bool(changes)}


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()


def csv_of(facts: Facts) -> str:
    """What ``bench --csv`` prints."""
    from edgeprune.reporting.measured import csv_text, measurements_of

    return csv_text(measurements_of(facts))
