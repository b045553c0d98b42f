"""What an emulated program sees of a board: its ``/proc/cpuinfo`` and its CPU topology.

An engine picks its kernels by the core it finds there, and dies on what it finds of an x86 host.
What may be executed is decided apart from it, by qemu's model of a core; the two are kept in step.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from edgeprune.emulation.lands import Land, home
from edgeprune.errors import EmulationError
from edgeprune.files import digest_of
from edgeprune.targets import Cluster, Target

OLD = ("neon",)
NEW = ("neon", "fp16", "dotprod")
MODELS: Mapping[str, tuple[str, ...]] = {
    "cortex-a53": OLD, "cortex-a57": OLD, "cortex-a72": OLD, "cortex-a76": NEW, "neoverse-n1": NEW,
}  # fmt: skip
"""Cores that qemu 7.2 has, and which of a profile's extensions each executes."""
FEATURES: Mapping[str, tuple[str, ...]] = {
    "neon": ("fp", "asimd", "evtstrm", "crc32", "cpuid"),
    "fp16": ("fphp", "asimdhp"),
    "dotprod": ("atomics", "asimdrdm", "lrcpc", "dcpop", "asimddp"),
}
"""Words of ``/proc/cpuinfo`` for each extension; a core with dot products is an armv8.2 one."""


def qemu_cpu(target: Target) -> str:
    """qemu's model of a core for a target: its fastest core's own, or one that executes no more
    than it does.

    Raises:
        EmulationError: the target is no arm64 one, or its profile says no cores.
    """
    if target.arch != "aarch64":
        raise EmulationError(f"target {target.name!r} is {target.arch}; only aarch64 is emulated")
    if not target.clusters:
        raise EmulationError(
            f"{target.path}: no [[clusters]] with the numbers of its cores; an emulated engine "
            "picks its kernels by them: add them"
        )
    own = target.clusters[0].cpu
    if own in MODELS:
        return own
    return "cortex-a76" if "dotprod" in (target.extensions or ()) else "cortex-a72"


def prefix_of(target: Target, land: Land) -> Path:
    """The user land with the target's files in ``/proc`` and ``/sys``, for qemu's ``-L``.

    Raises:
        EmulationError: as :func:`qemu_cpu`; or a core of the profile has no part number.
    """
    files = dict(_files(target, MODELS[qemu_cpu(target)]))
    key = digest_of([str(land.root), files])[:16]
    folder = home() / "boards" / f"{target.name}-{key}"
    if folder.is_dir():
        return folder
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for entry in land.root.iterdir():
        (temporary / entry.name).symlink_to(entry)
    for name, text in files.items():
        place = temporary / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="ascii")
    try:
        temporary.rename(folder)
    except OSError:  # another process was first
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _files(target: Target, executed: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    cores = [cluster for cluster in target.clusters for _ in range(cluster.cores)]
    extensions = [one for one in executed if one in (target.extensions or OLD)]
    words = " ".join(word for one in extensions for word in FEATURES[one])
    yield (
        "proc/cpuinfo",
        "".join(_core(number, cluster, words, target) for number, cluster in enumerate(cores)),
    )
    system = "sys/devices/system/cpu"
    span = f"0-{len(cores) - 1}\n" if len(cores) > 1 else "0\n"
    for name in ("possible", "present", "online"):
        yield f"{system}/{name}", span
    yield f"{system}/kernel_max", f"{len(cores) - 1}\n"
    first = 0
    for package, cluster in enumerate(target.clusters):
        members = range(first, first + cluster.cores)
        first += cluster.cores
        near = f"{members[0]}-{members[-1]}\n" if len(members) > 1 else f"{members[0]}\n"
        for number in members:
            place = f"{system}/cpu{number}"
            yield f"{place}/topology/core_id", f"{number}\n"
            yield f"{place}/topology/physical_package_id", f"{package}\n"
            yield f"{place}/topology/core_siblings_list", near
            yield f"{place}/topology/thread_siblings_list", f"{number}\n"
            if cluster.clock_mhz is not None:
                khz = f"{round(cluster.clock_mhz * 1000)}\n"
                yield f"{place}/cpufreq/cpuinfo_max_freq", khz
                yield f"{place}/cpufreq/cpuinfo_min_freq", khz


def _core(number: int, cluster: Cluster, words: str, target: Target) -> str:
    if cluster.part is None:
        raise EmulationError(
            f"{target.path}: the {cluster.cpu} has no 'part', by which an engine knows it; add it"
        )
    implementer = 0x41 if cluster.implementer is None else cluster.implementer
    return (
        f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {words}\n"
        f"CPU implementer\t: {implementer:#04x}\nCPU architecture: 8\n"
        f"CPU variant\t: {cluster.variant or 0:#x}\nCPU part\t: {cluster.part:#05x}\n"
        f"CPU revision\t: {cluster.revision or 0}\n\n"
    )
