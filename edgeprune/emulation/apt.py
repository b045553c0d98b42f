"""Packages of Debian or Ubuntu for another architecture, without root and beside the system's.

``apt-get`` is asked with folders of its own for lists, state and cache, so that nothing of the
machine's is read but its sources and keys, and nothing is written.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeprune.errors import EmulationError

TOOLS = ("apt-get", "dpkg", "dpkg-deb")
ETC = Path("/etc/apt")
_LINE = re.compile(r"^'(?P<uri>[^']+)' (?P<name>\S+_\S+\.deb) (?P<size>\d+) ?(?P<sum>\S*)$", re.M)
_OURS = re.compile(r"/(debian|debian-security|ubuntu|ubuntu-ports)/?$")
_HOSTS = re.compile(r"^(https?://)(?:[\w.-]*archive|security)\.ubuntu\.com/ubuntu/?$")
_PORTS = r"\1ports.ubuntu.com/ubuntu-ports/"


@dataclass(frozen=True)
class Package:
    """A package that can be downloaded.

    Attributes:
        name: of its file.
        size: bytes.
        sha256: hex digest, as the archive signs it.
    """

    name: str
    size: int
    sha256: str

    @property
    def package(self) -> str:
        """What apt calls it."""
        return self.name.partition("_")[0]


def check_tools() -> None:
    """Refuse systems that have no apt.

    Raises:
        EmulationError: says what is missing, and where it is to be had.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise EmulationError(
            f"the emulated ARM is made of packages that apt gets, and this system has no "
            f"{missing[0]}: it can be set up on Debian and Ubuntu only; measure on a board instead"
        )


class Apt:
    """apt for one architecture, in a folder of its own."""

    def __init__(self, folder: Path, architecture: str, *, installed: bool = False) -> None:
        """Make the folder and the sources.

        Args:
            folder: for lists and state.
            architecture: ``"arm64"``, or this machine's own.
            installed: what this machine has installed counts; otherwise nothing is.
        """
        self.folder = folder
        self.architecture = architecture
        for part in ("lists/partial", "cache/archives/partial", "sources"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        status = Path("/var/lib/dpkg/status") if installed else folder / "status"
        if not installed:
            status.write_text("")
        self._options = [
            *_option("APT::Architecture", architecture),
            *_option("APT::Architectures", architecture),
            *_option("Dir::State", folder),
            *_option("Dir::State::lists", folder / "lists"),
            *_option("Dir::State::status", status),
            *_option("Dir::Cache", folder / "cache"),
            *_option("Dir::Etc::sourcelist", folder / "sources" / "none.list"),
            *_option("Dir::Etc::sourceparts", folder / "sources"),
            *_option("APT::Sandbox::User", ""),
            *_option("APT::Install-Recommends", "false"),
            *_option("Acquire::Languages", "none"),
            *_option("Acquire::Retries", "3"),
            *_option("Debug::NoLocking", "true"),
        ]

    def update(self) -> None:
        """Fetch the lists of packages, from the machine's own sources.

        Raises:
            EmulationError: no source, or it cannot be reached.
        """
        written = copied_sources(ETC, self.folder / "sources", self.architecture)
        if not written:
            raise EmulationError(
                f"no source of Debian or Ubuntu in {ETC}: the emulated ARM is made of their "
                "packages; add one"
            )
        self._told(["update"], "fetch its lists of packages")

    def wanted(self, packages: Sequence[str], without: Iterable[str] = ()) -> list[Package]:
        """``packages`` and all that they need and that is not installed, with sizes and digests.

        Raises:
            EmulationError: there is no such package.
        """
        asked = ["-y", "--print-uris", "install", *packages]
        named = [match["name"] for match in _LINE.finditer(self._told(asked, "resolve packages"))]
        names = sorted({name.partition("_")[0] for name in named} - set(without))
        if not names:
            return []
        lines = self._told(["--print-uris", "download", *names], "find packages")
        found = [
            Package(match["name"], int(match["size"]), match["sum"].removeprefix("SHA256:"))
            for match in _LINE.finditer(lines)
        ]
        if len(found) != len(names):
            raise EmulationError(
                f"apt knows {len(found)} of the {len(names)} packages for {self.architecture}; "
                "run 'apt-get update' and try again"
            )
        return found

    def download(self, packages: Sequence[Package], folder: Path) -> None:
        """Get packages into ``folder``; apt checks each against the archive's signature.

        Raises:
            EmulationError: the network or the disk fails.
        """
        names = [package.package for package in packages]
        if names:
            self._told(["download", *names], "download packages", folder)

    def _told(self, arguments: Sequence[str], doing: str, folder: Path | None = None) -> str:
        done = subprocess.run(
            ["apt-get", *self._options, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=_environment(),
            check=False,
        )
        # "update" ends with 0 where a source failed.
        failed = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W: Failed"))]
        if done.returncode or failed:
            reason = (failed or done.stderr.strip().splitlines() or ["it said nothing"])[0]
            raise EmulationError(f"apt cannot {doing} for {self.architecture}: {reason[:200]}")
        return done.stdout


def unpack(package: Path, folder: Path) -> None:
    """Put the files of a package below ``folder``; no script of it runs.

    Raises:
        EmulationError: it is damaged, or the disk is full.
    """
    done = subprocess.run(
        ["dpkg-deb", "-x", str(package), str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise EmulationError(f"{package}: cannot be unpacked ({reason[:200]})")


def own_architecture() -> str:
    """What dpkg calls this machine."""
    done = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def copied_sources(etc: Path, folder: Path, architecture: str) -> list[Path]:
    """The distribution's own sources out of ``etc``, for ``architecture``, written to ``folder``.

    Other people's sources are left out: what they have is not wanted, and one that has nothing for
    the architecture would fail the rest. Ubuntu has its ports at another address.
    """
    places = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    written = []
    for place in places:
        if place.suffix not in (".list", ".sources") or not place.is_file():
            continue
        text = place.read_text(encoding="utf-8", errors="replace")
        kept = (
            _stanzas(text, architecture)
            if place.suffix == ".sources"
            else _lines(text, architecture)
        )
        if kept:
            target = folder / place.name
            target.write_text(kept, encoding="utf-8")
            written.append(target)
    return written


def _address(uri: str, architecture: str) -> str | None:
    """Where the distribution keeps this architecture; ``None`` for other people's sources."""
    if not _OURS.search(uri):
        return None
    return uri if architecture in ("amd64", "i386") else _HOSTS.sub(_PORTS, uri)


def _stanzas(text: str, architecture: str) -> str:
    kept = []
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        fields = {line.partition(":")[0].strip().lower(): line for line in lines if ":" in line}
        uris = fields.get("uris", "").partition(":")[2].split()
        found = [place for uri in uris if (place := _address(uri, architecture)) is not None]
        off = "no" in fields.get("enabled", "").lower().partition(":")[2]
        if not found or off:
            continue
        skipped = ("uris", "architectures", "enabled", "types")
        rest = [line for line in lines if line.partition(":")[0].strip().lower() not in skipped]
        kept.append("\n".join(["Types: deb", f"URIs: {' '.join(found)}", *rest]))
    return "\n\n".join(kept) + "\n" if kept else ""


def _lines(text: str, architecture: str) -> str:
    kept = []
    for line in text.splitlines():
        match = re.match(
            r"^\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<rest>.+)$", line
        )
        place = _address(match["uri"], architecture) if match else None
        if match is None or place is None:
            continue
        options = [one for one in (match["options"] or "").split() if not one.startswith("arch=")]
        head = f"[{' '.join(options)}] " if options else ""
        kept.append(f"deb {head}{place} {match['rest']}")
    return "\n".join(kept) + "\n" if kept else ""


def _option(name: str, value: object) -> list[str]:
    return ["-o", f"{name}={value}"]


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
