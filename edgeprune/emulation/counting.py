"""A file in its engine's ARM build, emulated: its outputs, and what it executes by kernel."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.emulation.boards import prefix_of, qemu_cpu
from edgeprune.emulation.lands import Land, home
from edgeprune.emulation.running import run_python
from edgeprune.emulation.symbols import Symbols
from edgeprune.errors import EmulationError
from edgeprune.files import sha256_file
from edgeprune.targets import Target

HERE = Path(__file__).resolve().parent
RUNS, WARMUP = 10, 2
LEAST = 0.001
"""Share of all instructions below which a function is counted with the rest of its library."""
PACKAGES: Mapping[str, str] = {"litert": "ai_edge_litert", "onnxruntime": "onnxruntime"}
DISTRIBUTIONS: Mapping[str, str] = {"litert": "ai-edge-litert", "onnxruntime": "onnxruntime"}


@dataclass(frozen=True)
class Emulated:
    """What one emulated run gave.

    Attributes:
        outputs: of the file, for the inputs given.
        instructions: of one inference; ``None`` where they were not counted.
        kernels: of one inference, by function of the engine's library.
        uncounted: why there are no instructions.
        unnamed: why there are no kernels.
    """

    outputs: tuple[npt.NDArray[Any], ...]
    instructions: int | None = None
    kernels: Mapping[str, int] = field(default_factory=dict)
    uncounted: str = ""
    unnamed: str = ""


def emulate(
    path: Path,
    target: Target,
    land: Land,
    engine: str,
    inputs: Sequence[npt.NDArray[Any]],
    threads: int = 1,
) -> Emulated:
    """Run a file in the emulated ARM as a target's core, and count.

    Instructions are those of the whole program between the first of ten inferences and the last,
    by ten: the engine's, and what its Python bindings take for each.

    Args:
        path: ``.tflite`` or ``.onnx``.
        target: an aarch64 profile with its cores.
        land: that is set up.
        engine: ``"litert"`` or ``"onnxruntime"``.
        inputs: one array an input, in the file's order.
        threads: that the engine gets; counts of more than one do not repeat.

    Raises:
        EmulationError: the engine's ARM build refuses the file, dies of it, or takes too long.
    """
    plugin, uncounted = counting_plugin(land)
    with tempfile.TemporaryDirectory(prefix="edgeprune-emulated-") as made:
        folder = Path(made)
        np.savez(folder / "inputs.npz", *inputs)
        request = {
            "engine": engine,
            "path": str(path.resolve()),
            "threads": threads,
            "warmup": WARMUP,
            "runs": RUNS,
            **{name: str(folder / f"{name}.npz") for name in ("inputs", "outputs")},
            "maps": str(folder / "maps"),
        }
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        counts = folder / "counts"
        run_python(
            land,
            prefix_of(target, land),
            qemu_cpu(target),
            [str(HERE / "agent.py"), str(folder / "request.json")],
            doing=f"running {path.name} in {engine} {land.versions[DISTRIBUTIONS[engine]]}",
            options=() if plugin is None else ("-plugin", f"{plugin},out={counts}"),
            more={"PYTHONHASHSEED": "0"},
            timeout=600.0,
        )
        with np.load(folder / "outputs.npz") as held:
            outputs = tuple(held[f"arr_{number}"] for number in range(len(held.files)))
        if plugin is None:
            return Emulated(outputs, uncounted=uncounted, unnamed=uncounted)
        if not counts.is_file():
            raise EmulationError(f"{path}: qemu counted nothing; the plugin does not fit it")
        blocks = np.loadtxt(counts, np.uint64, ndmin=2, converters={0: _hexadecimal})
        maps = (folder / "maps").read_text(encoding="utf-8")
    kernels, unnamed = _named(blocks, maps, land.wheels / PACKAGES[engine])
    total = int((blocks[:, 1] * blocks[:, 2]).sum())
    return Emulated(outputs, round(total / RUNS), kernels, unnamed=unnamed)


def _hexadecimal(text: str | bytes) -> int:
    return int(text, 16)


def counting_plugin(land: Land) -> tuple[Path | None, str]:
    """The compiled plugin; or ``None``, and why there is none."""
    version = land.versions.get("qemu", "unknown")
    major = version.partition(".")[0]
    if not major.isdigit() or int(major) >= 9:
        return None, f"qemu {version} has another plugin interface than the one known here"
    source = HERE / "counting.c"
    made = home() / "plugins" / f"counting-{sha256_file(source)[:16]}.so"
    if made.is_file():
        return made, ""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None, "no C compiler (cc, gcc or clang) to build the counting plugin with"
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as folder:
        built = Path(folder) / made.name
        done = subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", str(source), "-o", str(built)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["it said nothing"])[0]
            return None, f"{compiler} does not build the counting plugin ({reason[:160]})"
        built.replace(made)
    return made, ""


def _named(blocks: npt.NDArray[np.uint64], maps: str, package: Path) -> tuple[dict[str, int], str]:
    """Instructions of one inference by function of the engine's libraries, the most first; what
    other libraries took stands under their names in parentheses."""
    spent: dict[str, int] = {}
    weights = blocks[:, 1] * blocks[:, 2]
    rest = np.ones(len(blocks), bool)
    symbols_seen = False
    for start, end, offset, path in _mappings(maps):
        inside = rest & (blocks[:, 0] >= start) & (blocks[:, 0] < end)
        if not inside.any():
            continue
        rest &= ~inside
        library = f"({path.name})"
        if not path.is_relative_to(package):
            spent[library] = spent.get(library, 0) + int(weights[inside].sum())
            continue
        symbols = Symbols.read(path)
        symbols_seen |= bool(symbols.names)
        where = symbols.addresses(blocks[inside, 0] - np.uint64(start) + np.uint64(offset))
        for owner, weight in zip(symbols.owners(where), weights[inside].tolist(), strict=True):
            name = owner or library
            spent[name] = spent.get(name, 0) + int(weight)
    if rest.any():
        spent["(elsewhere)"] = int(weights[rest].sum())
    if not symbols_seen:
        return {}, "the engine's library carries no symbols"
    return _gathered(spent), ""


def _gathered(spent: Mapping[str, int]) -> dict[str, int]:
    """By inference, the most first; small functions together."""
    whole = sum(spent.values())
    kept = {name: count for name, count in spent.items() if count >= LEAST * whole}
    small = whole - sum(kept.values())
    ordered = dict(sorted(kept.items(), key=lambda item: (-item[1], item[0])))
    found = {name: round(count / RUNS) for name, count in ordered.items()}
    return {**found, "(all others)": round(small / RUNS)} if small else found


def _mappings(maps: str) -> list[tuple[int, int, int, Path]]:
    """Start, end, file offset and file of what is executable, out of ``/proc/self/maps``."""
    found = []
    for line in maps.splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and "x" in parts[1] and parts[5].startswith("/"):
            start, end = (int(part, 16) for part in parts[0].split("-"))
            found.append((start, end, int(parts[2], 16), Path(parts[5])))
    return found
