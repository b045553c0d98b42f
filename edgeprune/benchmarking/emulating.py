"""Files in the emulated ARM: whether they run there with the right numbers, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from edgeprune.benchmarking.outputs import compared, given_inputs, seeded
from edgeprune.counts import Count
from edgeprune.emulation import Land, qemu_cpu
from edgeprune.emulation.counting import DISTRIBUTIONS, counting_plugin, emulate
from edgeprune.errors import ArtifactError, EmulationError, InputError, MeasurementError
from edgeprune.files import sha256_file
from edgeprune.goldens import Golden
from edgeprune.progress import SILENT, Progress
from edgeprune.runtimes import Runner, engine_of
from edgeprune.runtimes.feeds import fitted
from edgeprune.targets import Target


def uncountable(target: Target) -> str | None:
    """Why no instructions can be counted for the target, here and now; ``None`` where they can."""
    try:
        qemu_cpu(target)
        land = Land.required()
    except EmulationError as error:
        return str(error)
    return counting_plugin(land)[1] or None


def counting_facts(target: Target) -> dict[str, Any]:
    """What can change a count, for stage keys: the cores, and all that emulates them."""
    facts, land = target.facts(), Land.found()
    return {
        "target": target.measuring_facts(),
        "cores": {key: facts[key] for key in ("clusters", "extensions")},
        "emulated": None if land is None else dict(land.archives),
        "uncountable": uncountable(target),
    }


def count_files(
    files: Sequence[Path],
    target: Target,
    land: Land,
    *,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> list[Count]:
    """Run files in the ARM build of their engine, as the target's core, and count instructions.

    Args:
        files: ``.tflite`` or ``.onnx``.
        target: an aarch64 profile with its cores.
        land: the emulated ARM.
        threads: that the engine gets; the target's own where ``None``.

    Returns:
        One count per file, in their order.

    Raises:
        ArtifactError: no such file, or the host's engine refuses it.
        EmulationError: the ARM build refuses it, dies of it, or takes too long.
        MeasurementError: the target has no such engine.
    """
    if not files:
        raise InputError("no file to run; name at least one")
    threads = target.threads if threads is None else threads
    core = qemu_cpu(target)
    for path in files:
        if not path.is_file():
            raise ArtifactError(f"{path}: no such file")
        if engine_of(path).name not in target.runtime:
            title = engine_of(path).title
            raise MeasurementError(f"target {target.name!r} has no {title} for {path.name}")
    counts = []
    with progress.task(f"emulate {target.name}", len(files)) as task:
        for path in files:
            counts.append(_counted(path, target, land, core, threads))
            task.advance()
    return counts


def _asked(path: Path, runner: Runner) -> list[npt.NDArray[Any]]:
    """One inference's inputs: the first golden example where there are some, else seeded ones."""
    golden = Golden.beside(path)
    single = all(port.shape[:1] in ((1,), (-1,)) for port in runner.inputs)
    if golden is None or not single:
        return [seeded(port) for port in runner.inputs]
    first = [each[:1] for each in given_inputs(runner, golden)]
    return fitted(first, runner.inputs, str(path))


def _counted(path: Path, target: Target, land: Land, core: str, threads: int) -> Count:
    engine = engine_of(path).name
    with Runner(path) as runner:
        inputs = _asked(path, runner)
        wanted = runner.infer(inputs)
    found = emulate(path, target, land, engine, inputs, threads)
    match, difference = compared(wanted, found.outputs)
    return Count(
        artifact=sha256_file(path),
        file=path.name,
        target=target.name,
        runtime=engine,
        runtime_version=land.versions[DISTRIBUTIONS[engine]],
        threads=threads,
        core=core,
        emulator=f"qemu {land.versions['qemu']}",
        outputs_match=match,
        difference=difference,
        instructions=found.instructions,
        kernels=found.kernels,
        uncounted=found.uncounted,
        unnamed=found.unnamed,
    )
