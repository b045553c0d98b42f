"""Facts of the machine that a measurement was made on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def this_device() -> dict[str, str]:
    """CPU model, number of usable cores, architecture and system, as far as they can be told."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return {
        "cpu": cpu_of(text) or platform.processor() or platform.machine(),
        "cores": str(_cores()),
        "arch": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
    }


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_of(text: str) -> str:
    """The model that a ``/proc/cpuinfo`` tells; empty where it tells none."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware"):
            return value.strip()
    return ""
