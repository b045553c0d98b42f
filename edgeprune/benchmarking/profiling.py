"""Where the time of an inference goes, node by node, by the engine's own profiler."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.benchmarking.outputs import answers_at
from edgeprune.benchmarking.places import HERE, Place
from edgeprune.benchmarking.rounds import ROUNDS, check_engines, check_reach, values_for
from edgeprune.files import sha256_file
from edgeprune.formats.tflite_prefixes import prefixes
from edgeprune.targets import Target

RUNS = 200
PREFIX_RUNS = 30
"""Inferences in a round of one beginning of the graph."""
PROFILER = "ONNX Runtime's own profiler, whose clock costs microseconds at every node"
PREFIXES = "the graph up to each operator, less the graph up to the one before"


def profile_file(
    path: Path,
    target: Target,
    *,
    threads: int | None = None,
    batch: int | None = None,
    place: Place = HERE,
) -> dict[str, Any]:
    """Microseconds of each node of a file, the longest first.

    ONNX Runtime's profiler reads its clock around every node, which costs microseconds itself:
    shares of small nodes are too large, and the sum is more than an inference takes without it.
    LiteRT has none that Python reaches: the beginnings of the graph are timed, each in a process of
    its own, where operators that would be one kernel with the next are apart.

    Returns:
        ``file``, ``artifact``, ``target``, ``runtime``, ``runtime_version``, ``threads``, ``by``,
        ``runs``, and ``nodes`` (``name``, ``op``, ``us``, ``share``).

    Raises:
        MeasurementError: not this machine.
        ArtifactError: a file that its engine refuses, or a ``.tflite`` of several graphs.
    """
    threads = target.threads if threads is None else threads
    if place is HERE:
        check_reach(target)
    check_engines(target, [path])
    with place.runner(path, threads=threads) as runner:
        if runner.engine.name == "onnxruntime":
            inputs = [values_for(port, batch) for port in runner.inputs]
            nodes, by, runs = runner.profile(inputs, RUNS), PROFILER, RUNS
        else:
            nodes = _by_prefixes(path, place, threads, batch)
            by, runs = PREFIXES, ROUNDS * PREFIX_RUNS
        answers = answers_at(place, runner)
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
            "by": by,
            "runs": runs,
            "nodes": ranked(nodes),
            **answers.facts(),
        }


def _by_prefixes(path: Path, place: Place, threads: int, batch: int | None) -> list[dict[str, Any]]:
    """What the graph takes up to each operator, less what it takes up to the one before; an
    operator that seems to take less than nothing takes nothing."""
    found, before = [], 0.0
    with tempfile.TemporaryDirectory(prefix="edgeprune-prefixes-") as folder:
        for number, prefix in enumerate(prefixes(path.read_bytes(), str(path))):
            file = Path(folder) / f"{number}.tflite"
            file.write_bytes(prefix.data)
            taken = _median_us(file, place, threads, batch)
            us = max(taken - before, 0.0)
            found.append({"name": prefix.name, "op": prefix.op, "us": us})
            before = max(taken, before)
    return found


def _median_us(file: Path, place: Place, threads: int, batch: int | None) -> float:
    """Of the rounds' medians the least: what disturbs only adds."""
    with place.runner(file, threads=threads) as runner:
        runner.prepare([values_for(port, batch) for port in runner.inputs])
        runner.time(PREFIX_RUNS)
        rounds = [float(np.median(runner.time(PREFIX_RUNS))) for _ in range(ROUNDS)]
    return min(rounds) / 1e3


def ranked(nodes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The longest first, each with its share of all."""
    whole = sum(each["us"] for each in nodes) or 1.0
    told = [{**each, "share": each["us"] / whole} for each in nodes]
    return sorted(told, key=lambda each: -each["us"])
