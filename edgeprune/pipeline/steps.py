"""The stages of a recipe in their order, and the key of each: all that can change what it leaves.

A stage's key holds the part of the recipe that it reads, the identities of model and data, the
versions of the libraries that it uses, and the digests of the stages that it builds on. So a
change redoes just what depends on it, and every key is known before anything runs.
"""

from __future__ import annotations

import platform
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeprune.benchmarking import counting_facts
from edgeprune.benchmarking.reaching import may_be_board
from edgeprune.pipeline.boards import Boards
from edgeprune.pipeline.inputs import Inputs
from edgeprune.recipes import ROLES, Recipe
from edgeprune.recoveries import which_train, without_training
from edgeprune.targets import Target
from edgeprune.variants import VARIANTS
from edgeprune.versions import installed
from edgeprune.workspace import Stage, Workspace

TRAINING = ("tensorflow", "keras", "numpy", "h5py")
_TFLITE = ("flatbuffers", "ai-edge-litert", "zlib")
_ONNX = ("tf2onnx", "onnx", "protobuf", "onnxruntime", "zlib")
LIBRARIES = {
    name: (*TRAINING, *(_ONNX if form.suffix == ".onnx" else _TFLITE))
    for name, form in VARIANTS.items()
}
"""What decides the bytes of a variant, their length after gzip, and what its runtime answers."""
IMAGES = ("pillow",)
"""What reads folders of images."""
ALWAYS = ("edgeprune", "python")


@dataclass(frozen=True)
class Step:
    """One stage, ready to run.

    Attributes:
        name: unique, also of its folder.
        stage: in the workspace.
        kind: which function of :mod:`edgeprune.pipeline.work` does it.
        facts: what that function must know beside the recipe (number, variant, role …).
        units: a measure of its work, for estimates: epochs where it trains, else 1.
    """

    name: str
    stage: Stage
    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    units: int = 1


def before_variants(formats: tuple[str, ...]) -> tuple[str, ...]:
    """As what the original is exported: each dense form behind the formats asked for."""
    return tuple(dict.fromkeys(variant.removesuffix("-sparse") for variant in formats))


def versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of :data:`ALWAYS` and of ``names``; a missing library has none."""
    own = {"python": platform.python_version(), "zlib": zlib.ZLIB_RUNTIME_VERSION}
    every = dict.fromkeys((*ALWAYS, *names))
    return {name: own.get(name) or installed(name) or "missing" for name in every}


def deciding(inputs: Inputs, formats: Iterable[str]) -> dict[str, str]:
    """Versions of all that any stage of a run uses."""
    images = IMAGES if any(inputs.holds_images(role) for role in ROLES) else ()
    return versions((*TRAINING, *(name for each in formats for name in LIBRARIES[each]), *images))


@dataclass
class Table:
    """Makes the steps of a recipe."""

    recipe: Recipe
    inputs: Inputs
    workspace: Workspace
    targets: tuple[Target, ...]
    boards: Boards = field(default_factory=Boards)
    emulated: bool = False
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
        # A stage of its own: other data to evaluate on redoes nothing that was decided without it.
        self._add("check-evaluate", self._data("evaluate"), TRAINING)
        for variant in befores:
            self._files("before", variant, after=())
        for variant in formats:
            if VARIANTS[variant].sparse and variant != "fp32-sparse":
                self._try(variant)
        last = self._prune(data)
        self._add("strip", {}, TRAINING, after=(last,))
        self._add(
            "recover",
            {**self._training(data), "last_epochs": recipe.finetune.last_epochs},
            TRAINING,
            after=("strip",),
            units=self._epochs(self._last_epochs()),
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
            about = {"target": target.measuring_facts(), "host": _host()}
            board = self.boards.facts(target)
            # A board is asked examples of the calibration data.
            facts = {**about, **board, **({**data, **self._calibrate()} if board else {})}
            self._add(
                f"bench-{target.name}",
                facts,
                libraries,
                kind="bench",
                after=exports,
                files=roles,
                target=target.name,
            )
            wanted = recipe.emulates(target.name) or (self.emulated and may_be_board(target))
            if wanted or recipe.gates_for(target.name, target.gates).max_instructions is not None:
                self._add(
                    f"count-{target.name}",
                    counting_facts(target),
                    libraries,
                    kind="count",
                    after=exports if wanted else exports[len(befores) :],
                    files=formats,
                    befores=befores if wanted else (),
                    target=target.name,
                )
        return list(self._steps.values())

    def _last_epochs(self) -> int:
        """At most, as an inexact cut is recovered in any case."""
        tune = self.recipe.finetune
        return tune.last_epochs or (tune.epochs if self.recipe.prune.inexact else 0)

    def _prune(self, data: Mapping[str, Any]) -> str:
        """Rehearsal and rounds; the name of the last of them."""
        recipe = self.recipe
        facts = recipe.digest_facts()
        unread = {"rehearsal_epochs", "folds", "grid"}
        goal = {key: value for key, value in facts["prune"].items() if key not in unread}
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
                units=self._epochs(epochs * len(recipe.prune.score)),
            )
            last = ("rehearse",)
        if recipe.prune.search is not None:
            later = {"rounds", "schedule", "rehearsal_epochs"}
            tried = {key: value for key, value in facts["prune"].items() if key not in later}
            search = {**data, **self._calibrate(), "task": self.inputs.task_identity()}
            recover = list(without_training(recipe.recover))
            self._add("search", {**search, "prune": tried, "recover": recover}, TRAINING)
            last = ("search",)
        for number in range(1, recipe.prune.rounds + 1):
            name = f"round-{number}"
            self._add(
                name,
                {**shared, "prune": goal, "number": number},
                TRAINING,
                kind="round",
                after=last,
                units=self._epochs(recipe.finetune.epochs),
                number=number,
            )
            last = (name,)
        return last[0]

    def _export_facts(self, variant: str) -> dict[str, Any]:
        """What decides the bytes of a file, beside the model."""
        asked = self.recipe.export
        facts: dict[str, Any] = {"variant": variant, "batch": asked.batch}
        if VARIANTS[variant].calibrated:
            facts |= {**self._data("train"), **self._calibrate()}
            facts["ranges_of"] = asked.calibration_examples
        return facts

    def _try(self, variant: str) -> None:
        """Whether the runtime takes a sparse form of what the rounds are likely to leave: before
        anything is trained."""
        goal = self.recipe.digest_facts()["prune"]
        self._add(
            f"try-{variant}", {**self._export_facts(variant), "prune": goal}, LIBRARIES[variant],
            kind="try", variant=variant,
        )  # fmt: skip

    def _files(self, role: str, variant: str, after: tuple[str, ...]) -> None:
        """Export and verification of one file."""
        export = f"export-{role}-{variant}"
        facts = self._export_facts(variant)
        allowed = self.recipe.export.tolerance(variant)
        self._add(
            export, facts, LIBRARIES[variant], kind="export", after=after, role=role,
            variant=variant,
        )  # fmt: skip
        self._add(
            f"verify-{role}-{variant}",
            {
                **self._data("train"),
                **self._calibrate(),
                **({} if allowed is None else {"tolerance": allowed}),
            },
            LIBRARIES[variant],
            kind="verify",
            # The original's file is tried on what the check was made on, with its metric.
            after=(export, "check") if role == "before" else (export,),
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
            "versions": versions((*libraries, *self._readers(key))),
        }
        stage = self.workspace.stage(name, whole)
        self._steps[name] = Step(name, stage, kind or name, facts, units)

    def _readers(self, key: Mapping[str, Any]) -> tuple[str, ...]:
        """What reads the data that a key names."""
        roles = [role for role in ROLES if key.get(f"data_{role}") is not None]
        return IMAGES if any(self.inputs.holds_images(role) for role in roles) else ()

    def _epochs(self, number: int) -> int:
        return number * len(which_train(self.recipe.recover))

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
            **(
                {"distill": self.recipe.distill.model_dump(mode="json")}
                if "distill" in self.recipe.recover
                else {}
            ),
        }


def _host() -> dict[str, str]:
    return {"system": platform.system(), "machine": platform.machine(), "node": platform.node()}
