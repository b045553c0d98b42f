"""Which engine runs which file, and where it comes from. Nothing here imports one."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from edgeprune.errors import ArtifactError, VersionError


@dataclass(frozen=True)
class Engine:
    """An inference engine.

    Attributes:
        name: as targets and measurements call it.
        title: as people call it.
        suffix: of the files it runs.
        module: what is imported.
        distribution: what pip installs.
        driver: module of this room that speaks to it, inside the child.
    """

    name: str
    title: str
    suffix: str
    module: str
    distribution: str
    driver: str

    @property
    def version(self) -> str:
        """The installed version.

        Raises:
            VersionError: it is not installed.
        """
        try:
            if importlib.util.find_spec(self.module) is None:
                raise VersionError(self.missing)
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            # Other builds of the same engine come under other names (onnxruntime-gpu).
            return "unknown"

    @property
    def missing(self) -> str:
        """One line for when it is not installed."""
        return (
            f"{self.title} is not installed, which runs {self.suffix} files; "
            f"run: pip install {self.distribution}"
        )


ENGINES: Mapping[str, Engine] = MappingProxyType(
    {
        "litert": Engine(
            name="litert",
            title="LiteRT",
            suffix=".tflite",
            module="ai_edge_litert",
            distribution="ai-edge-litert",
            driver="edgeprune.runtimes.litert",
        ),
        "onnxruntime": Engine(
            name="onnxruntime",
            title="ONNX Runtime",
            suffix=".onnx",
            module="onnxruntime",
            distribution="onnxruntime",
            driver="edgeprune.runtimes.onnxruntime_",
        ),
    }
)


def engine_of(path: Path | str) -> Engine:
    """The engine for a file, by its suffix.

    Raises:
        ArtifactError: no engine runs such files.
    """
    suffix = Path(path).suffix.lower()
    for engine in ENGINES.values():
        if engine.suffix == suffix:
            return engine
    raise ArtifactError(f"{path}: an artifact's name ends in .tflite or .onnx")
