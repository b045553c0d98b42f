"""Wheels for the Python of the arm64 user land, got by this machine's own pip."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeprune.errors import EmulationError

GLIBC = (*range(39, 16, -1),)
"""Minor versions of glibc 2 that wheels are built for; those above the user land's are dropped."""
RUNTIMES = ("ai-edge-litert", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Wheel:
    """A wheel that can be downloaded.

    Attributes:
        name: of the distribution.
        version: of it.
        url: where it is.
        sha256: hex digest, as the index says it.
        size: bytes; ``None`` where the server does not say it.
    """

    name: str
    version: str
    url: str
    sha256: str
    size: int | None

    @property
    def file(self) -> str:
        """Name of the file."""
        return urllib.parse.unquote(urllib.parse.urlsplit(self.url).path.rpartition("/")[2])


def resolved(requirements: Sequence[str], python: str, glibc: int) -> list[Wheel]:
    """What pip would install for aarch64, with all dependencies.

    Args:
        requirements: as pip takes them.
        python: ``"3.11"``.
        glibc: minor version of the user land's.

    Raises:
        EmulationError: pip is missing, offline, or finds nothing that fits.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        arguments = [
            *("install", "--dry-run", "--ignore-installed", "--quiet"),
            *("--target", str(Path(folder) / "none"), "--report", str(report)),
        ]
        _pip([*arguments, *_platform(python, glibc), *requirements], "resolve wheels")
        content = json.loads(report.read_bytes())
    return [
        Wheel(
            name=each["metadata"]["name"],
            version=each["metadata"]["version"],
            url=each["download_info"]["url"],
            sha256=each["download_info"]["archive_info"]["hashes"]["sha256"],
            size=_size(each["download_info"]["url"]),
        )
        for each in content["install"]
    ]


def download(wheels: Sequence[Wheel], folder: Path, python: str, glibc: int) -> None:
    """Get wheels into ``folder``.

    Raises:
        EmulationError: the network or the disk fails.
    """
    names = [f"{wheel.name}=={wheel.version}" for wheel in wheels]
    if names:
        arguments = ["download", "--no-deps", "--quiet", "--dest", str(folder)]
        _pip([*arguments, *_platform(python, glibc), *names], "download wheels")


def unpack(wheel: Path, folder: Path) -> None:
    """Put a wheel's files below ``folder``; its scripts stay out.

    Raises:
        EmulationError: it is damaged, or names a place outside.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if Path(name).is_absolute() or ".." in Path(name).parts:
                    raise EmulationError(f"{wheel}: names {name!r}, outside of its folder")
            archive.extractall(folder)
    except zipfile.BadZipFile as error:
        raise EmulationError(f"{wheel}: cannot be unpacked ({error})") from error


def _platform(python: str, glibc: int) -> list[str]:
    tags = [f"manylinux_2_{minor}_aarch64" for minor in GLIBC if minor <= glibc]
    tags.append("manylinux2014_aarch64")
    chosen = [part for tag in tags for part in ("--platform", tag)]
    return [
        *chosen,
        *("--implementation", "cp", "--python-version", python, "--only-binary", ":all:"),
    ]


def _pip(arguments: Sequence[str], doing: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = (said or done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise EmulationError(f"pip cannot {doing} for aarch64: {reason[:200]}")


def _size(url: str) -> int | None:
    """How long a file is, by its server's word."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "file":
        path = Path(urllib.parse.unquote(parts.path))
        return path.stat().st_size if path.is_file() else None
    if parts.scheme not in ("http", "https"):
        return None
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=20) as answer:
            length = answer.headers.get("Content-Length")
    except (OSError, urllib.error.URLError, ValueError):
        return None
    return int(length) if length and length.isdigit() else None
