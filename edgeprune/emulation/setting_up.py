"""From nothing to an emulated ARM: what is to be downloaded, said beforehand; got, unpacked."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeprune.emulation import apt, wheels
from edgeprune.emulation.lands import RECORD, Land, damaged, home
from edgeprune.emulation.running import run_python
from edgeprune.errors import EmulationError
from edgeprune.files import digest_of, sha256_file, write_json
from edgeprune.progress import SILENT, Progress

USER_LAND = ("python3-minimal", "libpython3-stdlib", "libstdc++6", "zlib1g")
UNWANTED = ("dpkg", "tar", "readline-common", "media-types")
"""What these ask for, and no program here needs."""
SYSTEMS_OWN = ("libc6", "libc-bin", "libgcc-s1", "gcc-12-base", "gcc-13-base", "gcc-14-base")
"""Of this machine's own architecture: a second C library beside the first would not start."""
SMOKE = """
import importlib.metadata, json, platform, sys
from ai_edge_litert.interpreter import Interpreter
found = {"python": platform.python_version(), "machine": platform.machine()}
for name in sys.argv[1:]:
    found[name] = importlib.metadata.version(name)
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Download:
    """A part of what is downloaded.

    Attributes:
        what: it is.
        files: how many.
        size: bytes; ``None`` where a server does not say it.
    """

    what: str
    files: int
    size: int | None


@dataclass(frozen=True)
class Plan:
    """What the user land is to be made of."""

    land: Sequence[apt.Package]
    qemu: Sequence[apt.Package]
    wheels: Sequence[wheels.Wheel]
    python: str
    glibc: int

    def downloads(self) -> list[Download]:
        """In parts, as a person wants to know it."""
        sizes = [wheel.size for wheel in self.wheels]
        whole = None if None in sizes else sum(size for size in sizes if size is not None)
        land, emulator = (sum(each.size for each in part) for part in (self.land, self.qemu))
        return [
            Download("arm64 user land", len(self.land), land),
            *([Download("qemu-user", len(self.qemu), emulator)] if self.qemu else []),
            Download("runtimes for arm64", len(self.wheels), whole),
        ]


def needed() -> Plan:
    """Ask apt and pip what there is; nothing but their lists is downloaded.

    Raises:
        EmulationError: no apt on this system, or a source that cannot be reached.
    """
    apt.check_tools()
    theirs = apt.Apt(home() / "apt" / "arm64", "arm64")
    theirs.update()
    land = theirs.wanted(USER_LAND, UNWANTED)
    brought: list[apt.Package] = []
    if systems_qemu() is None:
        native = apt.own_architecture()
        mine = apt.Apt(home() / "apt" / native, native, installed=True)
        mine.update()
        brought = mine.wanted(["qemu-user"], SYSTEMS_OWN)
    python, glibc = _versions(land)
    found = wheels.resolved(wheels.RUNTIMES, python, glibc)
    return Plan(land, brought, found, python, glibc)


def systems_qemu() -> Path | None:
    """The emulator that this machine has, where it takes plugins."""
    found = shutil.which("qemu-aarch64")
    if found is None:
        return None
    said = subprocess.run([found, "--help"], capture_output=True, text=True, check=False).stdout
    return Path(found) if "-plugin" in said else None


def set_up(
    announce: Callable[[Sequence[Download], Path], None] = lambda downloads, folder: None,
    progress: Progress = SILENT,
) -> tuple[Land, bool]:
    """The user land: as it is, unpacked anew from archives that are kept, or downloaded.

    Args:
        announce: is told what will be downloaded and where to, before anything is.
        progress: shows the steps.

    Returns:
        The user land, and whether anything was downloaded.

    Raises:
        EmulationError: no apt on this system, no network, a full disk, or it does not run.
    """
    from filelock import FileLock

    home().mkdir(parents=True, exist_ok=True)
    with FileLock(home() / ".lock"):
        kept = _kept()
        if kept is not None:
            land = Land.found()
            return (land, False) if land is not None else (_built(kept, progress), False)
        with progress.task("asking apt and pip what there is", None):
            plan = needed()
        announce(plan.downloads(), home())
        return _built(_downloaded(plan, progress), progress), True


def _kept() -> Mapping[str, str] | None:
    """The archives of the last time, where all are there and what they were."""
    try:
        archives: dict[str, str] = json.loads((home() / RECORD).read_bytes())["archives"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return archives if archives and not damaged(archives) else None


def _downloaded(plan: Plan, progress: Progress) -> dict[str, str]:
    """Every archive with its digest; those that are there already are not got again."""
    archives: dict[str, str] = {}
    parts = [("arm64", plan.land, "arm64"), ("qemu", plan.qemu, None)]
    for part, packages, architecture in parts:
        folder = home() / "archives" / part
        folder.mkdir(parents=True, exist_ok=True)
        missing = [each for each in packages if not _is(folder / each.name, each.sha256)]
        with progress.task(f"downloading {part}", None):
            if missing:
                name = architecture or apt.own_architecture()
                source = apt.Apt(home() / "apt" / name, name, installed=architecture is None)
                source.download(missing, folder)
        for package in packages:
            archives[f"{part}/{package.name}"] = _checked(folder / package.name, package.sha256)
    folder = home() / "archives" / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    absent = [wheel for wheel in plan.wheels if not _is(folder / wheel.file, wheel.sha256)]
    with progress.task("downloading the runtimes", None):
        wheels.download(absent, folder, plan.python, plan.glibc)
    for wheel in plan.wheels:
        archives[f"wheels/{wheel.file}"] = _checked(folder / wheel.file, wheel.sha256)
    return archives


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_file(path) == sha256


def _checked(path: Path, sha256: str) -> str:
    if not path.is_file():
        raise EmulationError(f"{path}: was not downloaded; try again")
    found = sha256_file(path)
    if found != sha256:
        path.unlink()
        raise EmulationError(
            f"{path}: has the digest {found[:12]}…, and {sha256[:12]}… was promised; it is "
            "removed: try again"
        )
    return found


def _built(archives: Mapping[str, str], progress: Progress) -> Land:
    """Unpack archives into a folder of their digest, try it, and record it."""
    key = digest_of(dict(archives))[:16]
    folder = home() / "lands" / key
    temporary = folder.with_name(f".{key}.{os.getpid()}")
    for left in folder.parent.glob(".*"):  # of a process that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    for part in ("root", "wheels", "qemu"):
        (temporary / part).mkdir(parents=True)
    unpackers: dict[str, tuple[Callable[[Path, Path], None], str]] = {
        "arm64": (apt.unpack, "root"),
        "qemu": (apt.unpack, "qemu"),
        "wheels": (wheels.unpack, "wheels"),
    }
    with progress.task("unpacking", len(archives)) as task:
        for name in archives:
            unpack, where = unpackers[name.partition("/")[0]]
            unpack(home() / "archives" / name, temporary / where)
            task.advance()
    _merge(temporary / "root")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    land = Land(folder, _python(folder / "root"), _qemu(folder), archives, {})
    with progress.task("trying it", None):
        tried = _tried(land)
    land = Land(land.folder, land.python, land.qemu, archives, tried)
    write_json(home() / RECORD, land.record())
    return land


def _merge(root: Path) -> None:
    """``/lib`` and its like, where the packages take them for links into ``/usr``."""
    for name in ("bin", "lib", "sbin"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")


def _python(root: Path) -> str:
    found = sorted((root / "usr" / "bin").glob("python3.*"))
    if not found:
        raise EmulationError(f"{root}: no Python among the packages that apt gave")
    return str(found[-1].relative_to(root))


def _qemu(folder: Path) -> Path:
    brought = folder / "qemu" / "usr" / "bin" / "qemu-aarch64"
    own = systems_qemu()
    if brought.is_file():
        return brought
    if own is None:
        raise EmulationError("qemu-aarch64 is gone from this system; run the set-up again")
    return own


def _tried(land: Land) -> dict[str, str]:
    """Start Python and a runtime in it; its versions."""
    from edgeprune.emulation.boards import prefix_of, qemu_cpu
    from edgeprune.targets import Target

    board = Target.load("raspberry-pi-4")
    names = [*wheels.RUNTIMES]
    said = run_python(
        land,
        prefix_of(board, land),
        qemu_cpu(board),
        ["-c", SMOKE, *names],
        doing="starting its first program",
    )
    try:
        found: dict[str, str] = json.loads(said)
    except ValueError as error:
        raise EmulationError(f"the emulated ARM answers {said[:80]!r}, no JSON") from error
    if found.pop("machine") != "aarch64":
        raise EmulationError("the emulated ARM is none: its Python says another machine")
    return {"qemu": _qemu_version(land), **found}


def _qemu_version(land: Land) -> str:
    from edgeprune.emulation.running import environment

    done = subprocess.run(
        [str(land.qemu), "--version"],
        capture_output=True,
        text=True,
        env=environment(land),
        check=False,
    )
    match = re.search(r"version ([\w.]+)", done.stdout)
    return match[1] if match else "unknown"


def _versions(packages: Sequence[apt.Package]) -> tuple[str, int]:
    """Python's version and glibc's minor one, from the names of packages."""
    names = " ".join(package.name for package in packages)
    python = re.search(r"\bpython(3\.\d+)-minimal_", names)
    glibc = re.search(r"\blibc6_2\.(\d+)-", names)
    if python is None or glibc is None:
        raise EmulationError("apt gave no Python 3 or no C library for arm64; look at its sources")
    return python[1], int(glibc[1])
