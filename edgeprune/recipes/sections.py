"""The tables of a recipe, key by key; ``docs/recipe.md`` says them in prose."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
)
from pydantic_core import PydanticCustomError

from edgeprune.documents import Names, OneOrMore, Strict
from edgeprune.gates import Gates
from edgeprune.recipes.values import Count, Share, each_once
from edgeprune.recoveries import Recovery
from edgeprune.variants import VariantName

Format = VariantName


def is_function(text: str) -> bool:
    """Whether ``text`` reads ``module:function`` rather than being a path."""
    return re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", text) is not None


def _one_line(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if "\n" in value or not value:
            raise PydanticCustomError(
                "rule", "has a name that is no line of text: {value}", {"value": repr(value)}
            )
    return values


def _as_table(value: Any) -> Any:
    if isinstance(value, str):
        return {"path": value}
    if isinstance(value, dict | Strict):
        return value
    raise PydanticCustomError("kind", "must be a string or a table")


def _weights(value: Any) -> Any:
    if value is None or value == "balanced":
        return value
    if isinstance(value, dict):
        bad = [
            name
            for name, weight in value.items()
            if isinstance(weight, bool)
            or not isinstance(weight, int | float)
            or not 0 <= weight < 1e9
        ]
        if not bad:
            return {str(name): float(weight) for name, weight in value.items()}
        raise PydanticCustomError(
            "rule",
            "gives class {name} a weight that is no number from 0 up",
            {"name": repr(bad[0])},
        )
    raise PydanticCustomError("kind", 'must be "balanced" or a table of class = weight')


class ModelSource(Strict):
    """Where the trained model is."""

    path: str = Field(
        min_length=1,
        description="A .keras or .h5 file relative to the recipe, or module:function that "
        "returns a Keras 3 model.",
    )
    trust: bool = Field(
        default=False, description="Load Lambda layers, which run code from the file. Off is safe."
    )
    depends: Names = Field(
        default=(), description="Files or globs that a module:function reads; a change rebuilds."
    )


class DataSource(Strict):
    """Where the data of one role is, and how to read it."""

    path: str = Field(
        min_length=1,
        description="An .npz, a folder of class folders with images, a saved tf.data.Dataset "
        "(folder), or module:function.",
    )
    x: OneOrMore = Field(
        default=(), description="Arrays of the .npz for the model's inputs, in their order."
    )
    y: OneOrMore = Field(
        default=(),
        description="Arrays of the .npz for the model's outputs, in their order; "
        '"x": the inputs themselves (reconstruction).',
    )
    size: Annotated[tuple[Count, Count], Field(strict=False)] | None = Field(
        default=None, description="Images: [height, width]; taken from the model where absent."
    )
    color: Literal["rgb", "grey"] | None = Field(
        default=None, description="Images: taken from the model's channels where absent."
    )
    scale: float | None = Field(
        default=None, description="Inputs are multiplied by this (1/255 = 0.00392156862745098) …"
    )
    offset: float | None = Field(default=None, description="… and then this is added.")
    depends: Names = Field(
        default=(), description="Files or globs that a module:function reads; a change rebuilds."
    )
    examples: Count | None = Field(default=None, description="Take only the first so many.")


Source = Annotated[DataSource, BeforeValidator(_as_table, json_schema_input_type=str | DataSource)]
Model = Annotated[ModelSource, BeforeValidator(_as_table, json_schema_input_type=str | ModelSource)]


class Data(Strict):
    """Data for three roles; two of the same examples are refused."""

    train: Source = Field(description="Fine-tuning and, by a split, validation.")
    calibrate: Source | None = Field(
        default=None, description="Scores and verification; drawn by seed from train where absent."
    )
    evaluate: Source = Field(description="Judged by once, at the end; checked at the start.")
    validation: Share = Field(
        default=0.1,
        description="Share of train set aside, by seed, for every decision before the end.",
    )
    calibration_examples: Count = Field(
        default=2048, description="How many of train calibrate where calibrate is absent."
    )
    microbatch: Count = Field(
        default=32, description="Examples whose gradients are averaged before the absolute value."
    )


class TaskSection(Strict):
    """What the model is for."""

    loss: str | None = Field(
        default=None, description="A Keras loss or module:function; the compiled one where absent."
    )
    metric: str | None = Field(
        default=None,
        description="A Keras metric or module:function; the compiled one where absent.",
    )
    higher_is_better: bool | None = Field(
        default=None, description="Known by itself for the metrics of Keras."
    )
    class_weights: Annotated[
        dict[str, float] | Literal["balanced"] | None, BeforeValidator(_weights)
    ] = Field(
        default=None, description='"balanced", or a table of weights by class name or number.'
    )


class Finetune(Strict):
    """Settings of the step "finetune"."""

    epochs: Count = Field(default=3, description="Epochs after each round.")
    learning_rate: Annotated[float, Field(gt=0)] = Field(default=1e-3, description="Of Adam.")
    patience: Count | None = Field(
        default=None, description="Stop after so many epochs without a better validation metric."
    )
    batch: Count = Field(default=128, description="Examples per step.")
    decay: Literal["none", "cosine"] = Field(
        default="none", description="How the learning rate falls over a round."
    )
    last_epochs: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Epochs once more after strip."
    )


class Export(Strict):
    """What is written."""

    formats: Annotated[tuple[Format, ...], Field(strict=False), AfterValidator(each_once)] = Field(
        default=("fp32-sparse", "onnx-fp32"),
        description="In order; the first TFLite becomes model.tflite, the first ONNX model.onnx.",
    )
    batch: Count = Field(default=1, description="Batch size of the exported files.")
    calibration_examples: Count = Field(
        default=256,
        description="Of the calibration data, from which int8 and int16x8 take their ranges.",
    )
    tolerances: dict[Format, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default={},
        description="How far a file may be from its model, by format; absent: the format's own.",
    )

    def tolerance(self, variant: str) -> float | None:
        """What ``tolerances`` says of a format."""
        return {str(name): allowed for name, allowed in self.tolerances.items()}.get(variant)


class TargetSection(Strict):
    """A device to release for."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of a profile: targets/<name>.toml beside the recipe, or one of ours.",
    )
    gates: Gates = Field(default=Gates(), description="Override [gates] for this target.")
    via: Literal["qemu"] | None = Field(
        default=None,
        description="qemu: count the instructions of each file as this target's core.",
    )


def _names_once(targets: tuple[TargetSection, ...]) -> tuple[TargetSection, ...]:
    each_once([target.name for target in targets])
    return targets


Targets = Annotated[tuple[TargetSection, ...], Field(strict=False), AfterValidator(_names_once)]
Classes = Annotated[
    Names, Field(min_length=2), AfterValidator(each_once), AfterValidator(_one_line)
]
Steps = Annotated[tuple[Recovery, ...], Field(strict=False)]
