"""What the machine was like while it was measured: clock, governor, heat, throttling, pinning.

Everything is read from files of Linux; what they do not say is marked as missing, with the reason.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from edgeprune.measurements import unavailable

FELL = 0.9
"""A clock below this share of what it was has fallen."""
_RASPBERRY_NOW = 0b1110
"""Of ``get_throttled``: clock capped, throttled, soft limit of temperature (bit 0: voltage)."""


@dataclass(frozen=True)
class State:
    """One look at the machine; ``None`` where it does not tell.

    Attributes:
        governor: of the CPU's clock; several are parted by commas.
        clock_mhz: of the fastest CPU that this process may use.
        temperature_c: of the hottest zone.
        throttled: how often the CPUs throttled since the machine started.
        capped: the board says that it holds its clock down now.
        load: of the last minute.
        waited_s: how long some task waited for a CPU since the start (``/proc/pressure``).
        stolen_s: how long the hypervisor gave this machine's CPUs to others, all CPUs together.
        at_s: when this was, by a clock that only goes forward.
    """

    governor: str | None = None
    clock_mhz: float | None = None
    temperature_c: float | None = None
    throttled: int | None = None
    capped: bool | None = None
    load: float | None = None
    waited_s: float | None = None
    stolen_s: float | None = None
    at_s: float = 0.0


def state(root: Path = Path("/"), cpus: Sequence[int] | None = None) -> State:
    """Look at the machine now.

    Args:
        root: where ``sys`` and ``proc`` are.
        cpus: that count; those that this process may use where ``None``.
    """
    used = pinning() if cpus is None else list(cpus)
    devices = [root / f"sys/devices/system/cpu/cpu{cpu}" for cpu in used]
    governors = {_text(each / "cpufreq/scaling_governor") for each in devices} - {""}
    counts = [_number(each / "thermal_throttle/core_throttle_count") for each in devices]
    told = [int(count) for count in counts if count is not None]
    clocks = [_number(each / "cpufreq/scaling_cur_freq") for each in devices]
    mhz = [clock / 1000 for clock in clocks if clock is not None] or list(_proc_clocks(root, used))
    zones = [_number(zone) for zone in sorted(root.glob("sys/class/thermal/thermal_zone*/temp"))]
    hot = [zone / 1000 for zone in zones if zone is not None]
    firmware = _text(root / "sys/devices/platform/soc/soc:firmware/get_throttled")
    return State(
        governor=", ".join(sorted(governors)) or None,
        clock_mhz=max(mhz, default=None),
        temperature_c=max(hot, default=None),
        throttled=sum(told) if told else None,
        capped=bool(int(firmware, 16) & _RASPBERRY_NOW) if _hex(firmware) else None,
        load=_load(root),
        waited_s=_waited(root),
        stolen_s=_stolen(root),
        at_s=monotonic(),
    )


def pinning() -> list[int]:
    """The CPUs that this process, and so its children, may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def between(
    before: State, after: State, threads: int, cpus: Sequence[int], there: int
) -> dict[str, Any]:
    """What ``--json`` has of the machine's state around a measurement: ``cpus`` are those that
    could be used, of ``there``."""
    return {
        "governor": after.governor or unavailable("the system tells of no governor"),
        "clock_mhz": _pair(before.clock_mhz, after.clock_mhz, "the system tells no clock"),
        "temperature_c": _pair(
            before.temperature_c, after.temperature_c, "the system has no thermal zone"
        ),
        "throttled": _throttled(before, after),
        "load": _pair(before.load, after.load, "the system tells no load"),
        "waited": _share(before, after, "waited_s", 1),
        "stolen": _share(before, after, "stolen_s", there),
        "threads": threads,
        "cpus": list(cpus),
        "pinned": len(cpus) < there,
    }


def _throttled(before: State, after: State) -> Any:
    if after.capped or (before.throttled is not None and (after.throttled or 0) > before.throttled):
        return True
    fell = None
    if before.clock_mhz and after.clock_mhz:
        fell = after.clock_mhz < FELL * before.clock_mhz
    if fell is None and after.capped is None and after.throttled is None:
        return unavailable("the system tells neither its clock nor how often it throttled")
    return bool(fell)


def _pair(before: Any, after: Any, reason: str) -> Any:
    if before is None or after is None:
        return unavailable(reason)
    return {"before": before, "after": after}


def _share(before: State, after: State, name: str, cpus: int) -> Any:
    """Of the time between two looks."""
    one, other = getattr(before, name), getattr(after, name)
    if one is None or other is None or after.at_s <= before.at_s:
        return unavailable("the system does not tell")
    return max(0.0, (other - one) / (after.at_s - before.at_s) / cpus)


def _waited(root: Path) -> float | None:
    found = re.search(r"^some .*total=(\d+)", _text(root / "proc/pressure/cpu"), re.MULTILINE)
    return int(found[1]) / 1e6 if found else None


def _stolen(root: Path) -> float | None:
    words = _text(root / "proc/stat").partition("\n")[0].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return int(words[8]) / ticks if len(words) > 8 and words[8].isdigit() else None


def _proc_clocks(root: Path, cpus: Sequence[int]) -> Iterator[float]:
    """x86 without cpufreq, as in a virtual machine."""
    text = _text(root / "proc/cpuinfo")
    for number, clock in re.findall(r"processor\s*:\s*(\d+)(?:.*\n)+?cpu MHz\s*:\s*([\d.]+)", text):
        if int(number) in cpus:
            yield float(clock)


def _load(root: Path) -> float | None:
    words = _text(root / "proc/loadavg").split()
    return float(words[0]) if words else None


def _hex(text: str) -> bool:
    return bool(re.fullmatch(r"(0x)?[0-9a-fA-F]+", text))


def _number(path: Path) -> float | None:
    text = _text(path)
    return float(text) if re.fullmatch(r"-?\d+", text) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
