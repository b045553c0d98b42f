"""Which versions are installed, and which this package's metadata allows. No library is imported
for it: what is asked is the metadata that pip left."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass

from edgeprune.errors import VersionError

PACKAGE = "edgeprune"

ALSO_KNOWN_AS = {
    "tensorflow": ("tensorflow-cpu", "tensorflow-intel", "tensorflow-macos", "tf-nightly"),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
}
"""Builds that come under another name and bring the same modules."""


@dataclass(frozen=True)
class Requirement:
    """A library this package needs.

    Attributes:
        name: of the distribution.
        bound: what the metadata asks for, as pip writes it (``>=2.20,<3``); may be empty.
        found: the version installed; ``None`` where there is none.
        fits: whether ``found`` is within ``bound``.
    """

    name: str
    bound: str
    found: str | None
    fits: bool

    @property
    def line(self) -> str:
        """What is wrong and what to do, in one line; empty where nothing is."""
        wanted = f"{self.name}{self.bound}"
        if self.found is None:
            return f"{self.name} is not installed; run: pip install '{wanted}'"
        if not self.fits:
            return (
                f"{self.name} {self.found} is installed, this edgeprune knows {self.bound}; "
                f"run: pip install '{wanted}'"
            )
        return ""


def installed(name: str) -> str | None:
    """The version of a distribution, or of one that brings the same modules."""
    for known in (name, *ALSO_KNOWN_AS.get(name, ())):
        try:
            return importlib.metadata.version(known)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def requirements() -> tuple[Requirement, ...]:
    """What the installed package's metadata asks for (extras left out), in its order; empty when
    the package runs from a folder without metadata."""
    from packaging.requirements import Requirement as Parsed

    try:
        lines = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    asked = [Parsed(line) for line in lines]
    found = []
    for each in asked:
        if each.marker is not None and not each.marker.evaluate({"extra": ""}):
            continue
        version = installed(each.name)
        fits = version is not None and each.specifier.contains(version, prereleases=True)
        found.append(Requirement(each.name, _ordered(str(each.specifier)), version, fits))
    return tuple(found)


def check_versions() -> None:
    """Refuse libraries that are missing or outside the declared bounds, before they are imported.

    Raises:
        VersionError: names the first such library and says what to install.
    """
    wrong = [each.line for each in requirements() if each.line]
    if wrong:
        more = f" (and {len(wrong) - 1} more: see 'edgeprune doctor')" if len(wrong) > 1 else ""
        raise VersionError(wrong[0] + more)


def versions() -> dict[str, str]:
    """edgeprune, Python, the platform, and every library of :func:`requirements` by name."""
    found = {
        "edgeprune": installed(PACKAGE) or "not installed",
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    return found | {each.name: each.found or "missing" for each in requirements()}


def _ordered(bound: str) -> str:
    """The lower bound first, as people write it."""
    return ",".join(sorted(filter(None, bound.split(",")), key=lambda part: part.startswith("<")))
