"""Where the time of an inference goes, node by node, by the engine's own profiler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeprune.benchmarking.outputs import UNASKED, answers_by
from edgeprune.benchmarking.places import HERE, Place
from edgeprune.benchmarking.rounds import check_engines, check_reach, values_for
from edgeprune.files import sha256_file
from edgeprune.targets import Target

RUNS = 200


def profile_file(
    path: Path,
    target: Target,
    *,
    threads: int | None = None,
    batch: int | None = None,
    place: Place = HERE,
) -> dict[str, Any]:
    """Microseconds of each node of a file, the longest first.

    The profiler reads its clock around every node, which costs microseconds itself: shares of small
    nodes are too large, and the sum is more than an inference takes without it.

    Returns:
        ``file``, ``artifact``, ``target``, ``runtime``, ``runtime_version``, ``threads``, ``by``,
        ``runs``, and ``nodes`` (``name``, ``op``, ``us``, ``share``).

    Raises:
        MeasurementError: its engine has no profiler that Python reaches; not this machine.
        ArtifactError: a file that its engine refuses.
    """
    threads = target.threads if threads is None else threads
    if place is HERE:
        check_reach(target)
    check_engines(target, [path])
    with place.runner(path, threads=threads) as runner:
        nodes = runner.profile([values_for(port, batch) for port in runner.inputs], RUNS)
        answers = UNASKED if place.own else answers_by(runner)
        return {
            "file": path.name,
            "artifact": sha256_file(path),
            "target": target.name,
            "via": place.via,
            "emulated": False,
            "figures": "measured",
            "profile": True,
            "runtime": runner.engine.name,
            "runtime_version": runner.version,
            "threads": threads,
            "by": f"{runner.engine.title}'s own profiler",
            "runs": RUNS,
            "nodes": ranked(nodes),
            **answers.facts(),
        }


def ranked(nodes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The longest first, each with its share of all."""
    whole = sum(each["us"] for each in nodes) or 1.0
    told = [{**each, "share": each["us"] / whole} for each in nodes]
    return sorted(told, key=lambda each: -each["us"])
