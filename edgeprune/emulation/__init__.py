"""An ARM machine on this one: qemu-user, an arm64 user land, the runtimes' ARM wheels."""

from edgeprune.emulation.boards import prefix_of, qemu_cpu
from edgeprune.emulation.lands import Land, home
from edgeprune.emulation.running import run_python
from edgeprune.emulation.setting_up import Download, set_up

__all__ = [
    "Download",
    "Land",
    "home",
    "prefix_of",
    "qemu_cpu",
    "run_python",
    "set_up",
]
