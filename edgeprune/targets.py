"""Device profiles, ``targets/*.toml``: what a board is and takes. A new board is one file."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr

from edgeprune.documents import OneOrMore, Strict, read_toml, schema_of, validate
from edgeprune.errors import RecipeError
from edgeprune.files import SCHEMA, nearest
from edgeprune.schemas import check_schema

Format = Literal["fp32", "fp32-sparse", "onnx-fp32"]
Runtime = Literal["litert", "onnxruntime"]
HERE = Path(__file__).resolve().parent
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class LatencyTable(Strict):
    """How long an inference takes, by what is left of each group of channels."""

    constant: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="Milliseconds that no channel changes."
    )
    groups: Annotated[dict[str, Annotated[float, Field(ge=0)]], Field(min_length=1)] = Field(
        description="Milliseconds per kept channel, by group name or glob; a name goes before a "
        "glob, and of globs the first."
    )


class Target(Strict):
    """A device profile; attributes are the keys of its file (``schema`` is ``schema_``).

    ``name`` is the file's name without ``.toml``; ``path`` is the file.
    """

    schema_: int = Field(default=SCHEMA, alias="schema", ge=0, description="Of the layout.")
    description: str = Field(min_length=1, description="One line for the list of targets.")
    arch: Literal["any", "x86_64", "aarch64", "armv7l", "riscv64"] = Field(
        description='As "uname -m" says it; "any" is the machine that runs edgeprune.'
    )
    cpu: str | None = Field(default=None, description="Core type, such as cortex-a72.")
    cores: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Of the CPU; absent: the machine's own."
    )
    memory: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="RAM in MiB; absent: the machine's own."
    )
    runtime: OneOrMore = Field(
        default=("litert", "onnxruntime"),
        description="Engines it runs: litert (.tflite), onnxruntime (.onnx).",
        json_schema_extra={"examples": [["litert", "onnxruntime"]]},
    )
    threads: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Threads an engine gets when it is timed."
    )
    formats: Annotated[tuple[Format, ...], Field(strict=False, min_length=1)] = Field(
        default=("fp32", "fp32-sparse", "onnx-fp32"), description="Variants it can run."
    )
    channel_multiple: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description="Widths that its kernels run at full speed are multiples of this; what "
        "[prune] channels leaves of a group is rounded to it.",
    )
    latency: LatencyTable | None = Field(
        default=None,
        description="For [prune] max_latency_ms; its groups are those of one architecture.",
    )
    note: str = Field(default="", description="What a person should know of it.")

    _name: str = PrivateAttr(default="")
    _path: Path = PrivateAttr(default=HERE)

    @property
    def name(self) -> str:
        """Of the profile."""
        return self._name

    @property
    def path(self) -> Path:
        """The file it was read from, absolute."""
        return self._path

    @classmethod
    def load(cls, name: str | Path, extra: Iterable[Path | str] = ()) -> Self:
        """Read a profile by name, or by path where ``name`` ends in ``.toml``.

        Args:
            name: the name of a file without ``.toml``, or the path of one.
            extra: folders searched first (the ``targets`` beside a recipe).

        Raises:
            RecipeError: no such profile (with the nearest name), or its faults, one line each.
            VersionError: written for a newer edgeprune.
        """
        known = found(extra)
        fault = unknown(str(name), known)
        if fault is not None:
            raise RecipeError([fault])
        path = known.get(str(name)) or Path(name)
        content = read_toml(path, "profile", "'edgeprune targets' lists the known ones")
        check_schema(content, "profile", path)
        target, faults = validate(cls, content, lambda _: str(path))
        if target is not None:
            faults = list(_misfits(target, path))
        if target is None or faults:
            raise RecipeError(faults)
        target._name, target._path = path.stem, path.resolve()
        return target

    @classmethod
    def names(cls, extra: Iterable[Path | str] = ()) -> tuple[str, ...]:
        """Names of all profiles, sorted, ``host`` first."""
        return tuple(sorted(found(extra), key=lambda name: (name != "host", name)))

    @classmethod
    def all(cls, extra: Iterable[Path | str] = ()) -> tuple[Self, ...]:
        """Every profile, in the order of :meth:`names`; raises as :meth:`load`."""
        extra = tuple(extra)
        return tuple(cls.load(name, extra) for name in cls.names(extra))

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema of the file, which editors complete from."""
        return schema_of(cls, "edgeprune target")

    def takes(self, variant: str) -> bool:
        """Whether the device runs this variant: format and engine both fit."""
        engine = "onnxruntime" if variant.startswith("onnx") else "litert"
        return variant in self.formats and engine in self.runtime

    def facts(self) -> dict[str, Any]:
        """The profile as JSON values, for ``--json`` and stage keys: no path."""
        return {"name": self.name, **self.model_dump(mode="json", by_alias=True)}


def common_multiple(targets: Iterable[Target]) -> int:
    """The least width that suits the kernels of every one of ``targets``."""
    return math.lcm(*(target.channel_multiple for target in targets))


def folders(extra: Iterable[Path | str] = ()) -> tuple[Path, ...]:
    """Where profiles are looked for: ``extra``, the checkout's, the installed ones."""
    checkout = HERE.parent / "targets"
    # Installed beside other packages, a folder "targets" there would be somebody else's.
    ours = [checkout] if (HERE.parent / "pyproject.toml").is_file() else []
    return tuple(
        folder for folder in (*map(Path, extra), *ours, HERE / "profiles") if folder.is_dir()
    )


def found(extra: Iterable[Path | str] = ()) -> dict[str, Path]:
    """Every profile by name; of two with one name the first folder's counts."""
    profiles: dict[str, Path] = {}
    for folder in folders(extra):
        for path in sorted(folder.glob("*.toml")):
            if NAME.fullmatch(path.stem):
                profiles.setdefault(path.stem, path)
    return profiles


def unknown(name: str, known: Collection[str]) -> str | None:
    """What is to be said of a target that is no path and none of the ``known`` profiles."""
    if name.endswith(".toml") or name in known:
        return None
    near = nearest(name, known)
    hint = f"did you mean '{near}'?" if near else "known: " + ", ".join(sorted(known))
    return f"target '{name}': no such profile; {hint} (or add targets/{name}.toml)"


def _misfits(target: Target, path: Path) -> Iterable[str]:
    engines = ("litert", "onnxruntime")
    if not target.runtime:
        yield f"{path}: 'runtime' is an empty list; name one of {', '.join(engines)}"
    for engine in target.runtime:
        if engine not in engines:
            near = nearest(engine, engines)
            hint = f"did you mean '{near}'?" if near else "known: " + ", ".join(engines)
            yield f"{path}: 'runtime' names the unknown engine '{engine}'; {hint}"
    if target.cores is not None and target.threads > target.cores:
        yield (
            f"{path}: 'threads' is {target.threads}, more than the {target.cores} of 'cores'; "
            "lower it"
        )
