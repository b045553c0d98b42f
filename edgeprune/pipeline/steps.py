"""The stages of a recipe in their order, and the key of each: all that can change what it leaves.

A stage's key holds the part of the recipe that it reads, the identities of model and data, the
versions of the libraries that it uses, and the digests of the stages that it builds on. So a
change redoes just what depends on it, and every key is known before anything runs.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeprune.pipeline.inputs import Inputs
from edgeprune.recipes import Recipe
from edgeprune.targets import Target
from edgeprune.versions import installed
from edgeprune.workspace import Stage, Workspace

TRAINING = ("tensorflow", "keras", "numpy")
LIBRARIES = {
    "fp32": ("tensorflow", "keras", "ai-edge-litert"),
    "fp32-sparse": ("tensorflow", "keras", "ai-edge-litert"),
    "onnx-fp32": ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime"),
}
"""What decides the bytes of a variant, and what its runtime answers."""


@dataclass(frozen=True)
class Step:
    """One stage, ready to run.

    Attributes:
        name: unique, also of its folder.
        stage: in the workspace.
        kind: which function of :mod:`edgeprune.pipeline.work` does it.
        facts: what that function must know beside the recipe (number, variant, role …).
        units: a measure of its work, for estimates (examples × epochs where it trains).
    """

    name: str
    stage: Stage
    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    units: int = 1


def before_variants(formats: tuple[str, ...]) -> tuple[str, ...]:
    """As what the original is exported: each dense form behind the formats asked for."""
    return tuple(dict.fromkeys(variant.removesuffix("-sparse") for variant in formats))


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions; a missing library has none."""
    return {name: installed(name) or "missing" for name in names}


@dataclass
class Table:
    """Makes the steps of a recipe."""

    recipe: Recipe
    inputs: Inputs
    workspace: Workspace
    targets: tuple[Target, ...]
    _steps: dict[str, Step] = field(default_factory=dict)

    def steps(self) -> list[Step]:
        """Every step, in the order of the road."""
        self._steps = {}
        recipe, formats = self.recipe, self.recipe.export.formats
        befores = before_variants(formats)
        data = self._data("train")
        self._add(
            "check", {**data, **self._calibrate(), "task": self.inputs.task_identity()}, TRAINING
        )
        for variant in befores:
            self._files("before", variant, after=())
        last = self._prune(data)
        self._add("strip", {}, TRAINING, after=(last,))
        self._add(
            "recover",
            {**self._training(data), "last_epochs": recipe.finetune.last_epochs},
            TRAINING,
            after=("strip",),
            units=recipe.finetune.last_epochs,
        )
        for variant in formats:
            self._files("after", variant, after=("recover",))
        roles = [("before", variant) for variant in befores]
        roles += [("after", variant) for variant in formats]
        exports = tuple(f"export-{role}-{variant}" for role, variant in roles)
        libraries = tuple(dict.fromkeys(name for variant in formats for name in LIBRARIES[variant]))
        evaluation = {**self._data("evaluate"), "task": self.inputs.task_identity()}
        self._add("evaluate", evaluation, libraries, after=exports, files=roles)
        for target in self.targets:
            facts = {"target": _decisive(target), "host": _host()}
            self._add(
                f"bench-{target.name}",
                facts,
                libraries,
                kind="bench",
                after=exports,
                files=roles,
                target=target.name,
            )
        return list(self._steps.values())

    def _prune(self, data: Mapping[str, Any]) -> str:
        """Rehearsal and rounds; the name of the last of them."""
        recipe = self.recipe
        facts = recipe.digest_facts()
        goal = {key: value for key, value in facts["prune"].items() if key != "rehearsal_epochs"}
        shared = self._training(data)
        last: tuple[str, ...] = ()
        if len(recipe.prune.score) > 1:
            epochs = recipe.prune.rehearsal_epochs
            tried = {key: goal[key] for key in goal if key != "max_drop"}
            tried["rounds"] = min(tried["rounds"], epochs)
            self._add(
                "rehearse",
                {**shared, "prune": tried, "epochs": epochs},
                TRAINING,
                units=epochs * len(recipe.prune.score),
            )
            last = ("rehearse",)
        for number in range(1, recipe.prune.rounds + 1):
            name = f"round-{number}"
            self._add(
                name,
                {**shared, "prune": goal, "number": number},
                TRAINING,
                kind="round",
                after=last,
                units=recipe.finetune.epochs,
                number=number,
            )
            last = (name,)
        return last[0]

    def _files(self, role: str, variant: str, after: tuple[str, ...]) -> None:
        """Export and verification of one file."""
        export = f"export-{role}-{variant}"
        facts = {"variant": variant, "batch": self.recipe.export.batch}
        self._add(
            export, facts, LIBRARIES[variant], kind="export", after=after, role=role,
            variant=variant,
        )  # fmt: skip
        self._add(
            f"verify-{role}-{variant}",
            {**self._data("train"), **self._calibrate()},
            LIBRARIES[variant],
            kind="verify",
            after=(export,),
            role=role,
            variant=variant,
        )

    def _add(
        self,
        name: str,
        key: Mapping[str, Any],
        libraries: tuple[str, ...],
        *,
        kind: str | None = None,
        after: tuple[str, ...] = (),
        units: int = 1,
        **facts: Any,
    ) -> None:
        whole = {
            **key,
            "model": self.inputs.model_identity(),
            "seed": self.recipe.seed,
            "threads": self.recipe.threads,
            "device": self.recipe.device,
            "after": {before: self._steps[before].stage.digest for before in after},
            "versions": versions(("edgeprune", *libraries)),
        }
        stage = self.workspace.stage(name, whole)
        self._steps[name] = Step(name, stage, kind or name, facts, max(units, 1))

    def _data(self, role: str) -> dict[str, Any]:
        """Identity of a role, with what decides the splits."""
        return {
            f"data_{role}": self.inputs.data_identity(role),
            "validation": self.recipe.data.validation,
            "classes": list(self.recipe.classes or ()),
        }

    def _calibrate(self) -> dict[str, Any]:
        data = self.recipe.data
        return {
            "data_calibrate": self.inputs.data_identity("calibrate"),
            "calibration_examples": data.calibration_examples if not data.calibrate else None,
            "microbatch": data.microbatch,
        }

    def _training(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """What every stage that trains may read."""
        return {
            **data,
            **self._calibrate(),
            "task": self.inputs.task_identity(),
            "finetune": self.recipe.finetune.model_dump(mode="json", exclude={"last_epochs"}),
            "recover": list(self.recipe.recover),
        }


def _decisive(target: Target) -> dict[str, Any]:
    """A profile without its prose."""
    return {key: item for key, item in target.facts().items() if key not in ("description", "note")}


def _host() -> dict[str, str]:
    return {"system": platform.system(), "machine": platform.machine(), "node": platform.node()}
