"""What leaves the build directory: ``dist/<target>/``, whole or not at all."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeprune.files import (
    SCHEMA,
    canonical_json,
    digest_of,
    fsync,
    mapped_os_errors,
    sha256_file,
)
from edgeprune.pipeline.assembling import Assembly, released_name
from edgeprune.results import Result
from edgeprune.targets import Target

UNSTABLE_GATES = ("max_latency_ms", "max_instructions")
"""Gates whose values are no function of the inputs: they go to ``measurements.json``."""


def release(assembly: Assembly, result: Result, target: Target, folder: Path) -> None:
    """Write the files of one target into ``folder``, replacing what was there in one rename.

    A file whose content is what it was keeps its time. The manifest gets a new one: it says when
    the release was last found to be right, and make goes by it.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    with mapped_os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            temporary.chmod(0o755)
            _fill(assembly, result, target, temporary)
            for file in temporary.iterdir():
                fsync(file)
                if file.name != "manifest.json":
                    _keep_time(file, folder / file.name)
            _swap(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _fill(assembly: Assembly, result: Result, target: Target, folder: Path) -> None:
    files = {}
    for variant in assembly.files(target):
        name = released_name(variant, assembly.formats)
        shutil.copyfile(assembly.work.artifact_path("after", variant), folder / name)
        files[name] = variant
    stable = manifest(assembly, result, target, files)
    (folder / "manifest.json").write_bytes(canonical_json(stable))
    classes = stable["classes"]
    if classes:
        (folder / "labels.txt").write_text("".join(f"{name}\n" for name in classes))
    sums = [f"{sha256_file(file)}  {file.name}\n" for file in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("".join(sums))
    (folder / "measurements.json").write_bytes(
        canonical_json(measurements(assembly, result, target))
    )


def manifest(
    assembly: Assembly, result: Result, target: Target, files: Mapping[str, str]
) -> dict[str, Any]:
    """Every fact that is a function of the inputs alone: the same inputs, the same bytes."""
    work = assembly.work
    facts = work.recipe.digest_facts()
    return {
        "schema": SCHEMA,
        "target": target.name,
        "model": work.inputs.model_identity(),
        "pruned_model": assembly.after["digest"],
        "data": result.facts["data"],
        "recipe": digest_of(facts),
        "plan": result.plan,
        "inexact": assembly.inexact,
        "versions": dict(result.versions),
        "seed": result.facts["seed"],
        "threads": work.recipe.threads,
        "method": result.method,
        "sparsity": result.sparsity,
        "metric": {
            "name": result.metric,
            "higher_is_better": result.higher_is_better,
            "examples": result.facts["examples"],
            "original": result.facts["baseline"],
            "files": {
                name: assembly.evaluation["files"][f"after-{v}"] for name, v in files.items()
            },
        },
        "before": _numbers(assembly.before),
        "after": _numbers(assembly.after),
        "files": {
            name: {**assembly.artifact("after", variant), "file": name}
            for name, variant in files.items()
        },
        "verification": {
            name: work.read(f"verify-after-{variant}", "verification.json")
            for name, variant in files.items()
        },
        "gates": _gates(result, target, stable=True),
        "classes": assembly.check["classes"],
    }


def measurements(assembly: Assembly, result: Result, target: Target) -> dict[str, Any]:
    """What differs from one measuring to the next: latency, memory, instructions, the gates on
    them, the date, the machine."""
    return {
        "schema": SCHEMA,
        "target": target.name,
        "date": None,
        **assembly.bench(target),
        **({"counts": counts} if (counts := assembly.counts(target)) is not None else {}),
        "gates": _gates(result, target, stable=False),
    }


def _numbers(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: facts[key] for key in ("parameters", "nonzero", "macs")}


def _gates(result: Result, target: Target, *, stable: bool) -> list[dict[str, Any]]:
    return [
        dict(vars(verdict))
        for verdict in result.gates
        if verdict.target == target.name and (verdict.gate not in UNSTABLE_GATES) == stable
    ]


def _keep_time(file: Path, before: Path) -> None:
    if before.is_file() and filecmp.cmp(file, before, shallow=False):
        shutil.copystat(before, file)


def _swap(temporary: Path, folder: Path) -> None:
    if folder.exists():
        old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
        folder.replace(old)
        temporary.replace(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        temporary.replace(folder)
    fsync(folder.parent)
