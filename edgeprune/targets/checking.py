"""What a profile must not say, and what of it contradicts itself; a line each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from edgeprune.files import nearest

if TYPE_CHECKING:
    from edgeprune.targets.profile import Target

ENGINES = ("litert", "onnxruntime", "tflite-micro")
MICROCONTROLLERS = ("armv7e-m", "armv8.1-m")
PRIVATE = re.compile(
    r"(^|_)(host|hostname|hosts|address|addr|ip|port|url|user|username|login|password|passwd|"
    r"passphrase|secret|token|credential|credentials|apikey|key|keyfile|identity|ssh|serial)($|_)"
)
"""Keys of what is one person's: where a device stands and how to get in."""
SECRET = re.compile(
    r"PRIVATE KEY|(?<![\w.@-])[\w.-]+@[A-Za-z0-9][\w.-]*|(?<![\d.])\d{1,3}(\.\d{1,3}){3}(?![\d.])"
)
"""The same inside a value: a key, user@host, an IPv4 address."""
FREE = ("latency.groups", "ethos_u.system")
"""Tables whose keys are other people's words: names of groups, a compiler's settings."""
PARTS: Mapping[str, int] = {
    "cortex-a35": 0xD04, "cortex-a53": 0xD03, "cortex-a55": 0xD05, "cortex-a57": 0xD07,
    "cortex-a72": 0xD08, "cortex-a73": 0xD09, "cortex-a75": 0xD0A, "cortex-a76": 0xD0B,
    "cortex-a77": 0xD0D, "cortex-a78": 0xD41, "cortex-a78ae": 0xD42, "cortex-a510": 0xD46,
    "cortex-a520": 0xD80, "cortex-a710": 0xD47, "cortex-a715": 0xD4D, "cortex-a720": 0xD81,
    "cortex-x1": 0xD44, "cortex-x2": 0xD48, "cortex-x3": 0xD4E, "cortex-x4": 0xD82,
    "neoverse-n1": 0xD0C, "neoverse-n2": 0xD49, "neoverse-v1": 0xD40, "neoverse-v2": 0xD4F,
    "cortex-m4": 0xC24, "cortex-m7": 0xC27, "cortex-m33": 0xD21, "cortex-m55": 0xD22,
    "cortex-m85": 0xD23,
}  # fmt: skip
"""MIDR part numbers of Arm Limited's cores (LLVM, lib/TargetParser/Host.cpp)."""


def without_private(content: Mapping[str, Any], head: str = "") -> tuple[dict[str, Any], list[str]]:
    """``content`` without what a shared file must not hold, and the dotted keys of that."""
    kept: dict[str, Any] = {}
    private: list[str] = []
    for key, item in content.items():
        dotted = f"{head}{key}"
        if dotted in FREE:
            kept[key] = item
        elif PRIVATE.search(key.lower().replace("-", "_")) or _secret(item):
            private.append(dotted)
        elif isinstance(item, Mapping):
            kept[key], more = without_private(item, f"{dotted}.")
            private += more
        elif isinstance(item, list):
            kept[key] = []
            for number, entry in enumerate(item):
                if isinstance(entry, Mapping):
                    entry, more = without_private(entry, f"{dotted}[{number}].")
                    private += more
                kept[key].append(entry)
        else:
            kept[key] = item
    return kept, private


def _secret(item: Any) -> bool:
    if isinstance(item, list):
        return any(_secret(entry) for entry in item)
    return isinstance(item, str) and SECRET.search(item) is not None


def misfits(target: Target) -> Iterator[tuple[str, str]]:
    """Keys whose values contradict each other, and what is wrong."""
    yield from _engines(target)
    yield from _cores(target)
    yield from _clusters(target)
    yield from _peaks(target)
    yield from _micro(target)


def _engines(target: Target) -> Iterator[tuple[str, str]]:
    if not target.runtime:
        yield "runtime", f"'runtime' is an empty list; name one of {', '.join(ENGINES)}"
    for engine in target.runtime:
        if engine not in ENGINES:
            near = nearest(engine, ENGINES)
            hint = f"did you mean '{near}'?" if near else "known: " + ", ".join(ENGINES)
            yield "runtime", f"'runtime' names the unknown engine '{engine}'; {hint}"
    for number, section in enumerate(target.runtimes):
        key = f"runtimes[{number}]"
        if section.name not in target.runtime:
            yield key, f"'{key}' is of {section.name}, which 'runtime' does not name; add it there"
        for variant in section.formats:
            if variant not in target.formats:
                yield key, f"'{key}' runs {variant}, which 'formats' does not name; add it there"


def _cores(target: Target) -> Iterator[tuple[str, str]]:
    if target.cores is not None and target.threads > target.cores:
        yield (
            "threads",
            f"'threads' is {target.threads}, more than the {target.cores} of 'cores'; lower it",
        )
    if not target.clusters:
        return
    count = sum(cluster.cores for cluster in target.clusters)
    if target.cores is not None and count != target.cores:
        yield "clusters", f"'cores' is {target.cores}, and the clusters have {count} together"
    kinds = [cluster.cpu for cluster in target.clusters]
    if target.cpu is not None and target.cpu not in kinds:
        yield "cpu", f"'cpu' is {target.cpu}, and no cluster is of it ({', '.join(kinds)})"


def _clusters(target: Target) -> Iterator[tuple[str, str]]:
    for number, cluster in enumerate(target.clusters):
        part = PARTS.get(cluster.cpu)
        arms = cluster.implementer in (None, 0x41)
        if arms and part is not None and cluster.part not in (None, part):
            key = f"clusters[{number}].part"
            yield key, f"'{key}' is {cluster.part:#x}, and a {cluster.cpu} has {part:#x}"


def _peaks(target: Target) -> Iterator[tuple[str, str]]:
    said, computed = target.peaks.gflops, target.computed_gflops()
    if said is not None and computed is not None and abs(said.value / computed - 1) > 0.01:
        yield (
            "peaks.gflops",
            f"'peaks.gflops' is {said.value:g}, and cores × clock × flops_per_cycle of the "
            f"clusters is {computed:g}",
        )
    wide, bus = target.peaks.gb_per_s, target.ram
    if wide is None or bus is None or bus.bits is None or bus.mt_per_s is None:
        return
    most = bus.bits / 8 * bus.mt_per_s / 1000
    if wide.value > most * 1.01:
        yield (
            "peaks.gb_per_s",
            f"'peaks.gb_per_s' is {wide.value:g}, and {bus.bits} bits at {bus.mt_per_s:g} MT/s "
            f"carry {most:g}",
        )


def _micro(target: Target) -> Iterator[tuple[str, str]]:
    micro = target.arch in MICROCONTROLLERS
    if micro and target.limits is None:
        yield "arch", f"'arch' is {target.arch}, a microcontroller's; add [limits]"
    if not micro and target.limits is not None:
        yield "limits", f"'limits' is for microcontrollers, and 'arch' is {target.arch}"
    if micro and target.runtime != ("tflite-micro",):
        yield "runtime", f"'runtime' of {target.arch} must be tflite-micro alone"
    if target.ethos_u is not None and not micro:
        yield "ethos_u", f"'ethos_u' is for microcontrollers, and 'arch' is {target.arch}"
