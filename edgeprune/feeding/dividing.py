"""The roles of a recipe's data: what trains, what decides, what is scored, what judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeprune.datasets import Dataset
from edgeprune.errors import DataError
from edgeprune.feeding.checking import check_fits
from edgeprune.feeding.opening import open_data
from edgeprune.feeding.ordering import split, split_count
from edgeprune.feeding.places import locate, peek
from edgeprune.feeding.ports import outputs_of
from edgeprune.feeding.weighting import class_weights_of, weighted
from edgeprune.recipes import ROLES, Recipe
from edgeprune.seeds import derived_seed

VERIFIED = 32
"""Fewest examples of a calibration set: what verification asks for."""


@dataclass(frozen=True)
class Roles:
    """Data by what may be done with it.

    Attributes:
        train: for fine-tuning; with class weights where the recipe has them.
        validation: split from train by seed; every decision before the end.
        calibrate: for scores and verification; with the same class weights. Data of its own, or
            some of train.
        evaluate: opens the evaluation data when called, once; nothing reads it before.
        notes: what was split from what, for the user.
        digests: of the data of ``"train"`` and ``"calibrate"`` as opened, before any split.
    """

    train: Dataset
    validation: Dataset
    calibrate: Dataset
    evaluate: Callable[[], Dataset]
    notes: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)


def roles(recipe: Recipe, model: Any) -> Roles:
    """Open and check the data of a recipe; the evaluation data is only looked at from outside.

    Args:
        recipe: that names the data.
        model: it has to fit.

    Raises:
        DataError: data that cannot be read or does not fit; two roles that would read the same;
            too few examples to calibrate and verify with.
    """
    _refuse_same(recipe, model)
    train = _opened(recipe, "train", model)
    digests = {"train": train.digest}
    notes: list[str] = []
    rest, validation = _validation(train, recipe.data.validation, recipe.seed)
    notes.append(
        f"validation: {validation.examples} of {train.examples} examples, split by seed from train"
    )
    if recipe.data.calibrate is None:
        calibrate = _calibration(rest, recipe.data.calibration_examples, recipe.seed)
        notes.append(
            f"calibrate: {calibrate.examples} of the other {rest.examples}, drawn by seed from "
            "train and trained on too (the recipe names none)"
        )
    else:
        calibrate = _opened(recipe, "calibrate", model)
        digests["calibrate"] = calibrate.digest
        _refuse_copies(recipe, "calibrate", calibrate, digests)
    asked = recipe.data.calibration_examples if recipe.data.calibrate is None else None
    check_enough(calibrate, asked)
    weights = recipe.task.class_weights
    if weights is not None:
        outputs = outputs_of(model)
        width = max(0, outputs[0].shape[-1]) if len(outputs) == 1 else 0
        by_class = class_weights_of(rest, weights, width if width > 1 else 2)
        rest, calibrate = weighted(rest, by_class), weighted(calibrate, by_class)
    return Roles(rest, validation, calibrate, _once(recipe, model, digests), tuple(notes), digests)


def parted(
    data: Dataset, validation: float, calibration_examples: int, seed: int
) -> tuple[Dataset, Dataset, Dataset]:
    """``data`` of one role as training and validation data, split by seed, and the calibration data
    among the first; as :func:`roles` has them where the recipe names no calibration data."""
    rest, held_out = _validation(data, validation, seed)
    return rest, held_out, _calibration(rest, calibration_examples, seed)


def check_enough(calibrate: Dataset, asked: int | None) -> None:
    """Refuse calibration data on which a file could not be compared with its model.

    Args:
        calibrate: that role's.
        asked: how many were to be drawn from train; ``None``: it is data of its own.

    Raises:
        DataError: fewer than :data:`VERIFIED` examples.
    """
    if calibrate.examples >= VERIFIED:
        return
    hint = "give train more, or calibrate data of its own"
    if asked is None:
        hint = "give more"
    elif asked < VERIFIED:
        hint = f"calibration_examples = {asked} is too few"
    raise DataError(
        f"{calibrate.name}: calibrate has {calibrate.examples} examples"
        f"{'' if asked is None else ' (of train)'}; files are verified on them, which "
        f"takes {VERIFIED} at least: {hint}"
    )


def _validation(data: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    return split(data, share, derived_seed(seed, "validation"))


def _calibration(data: Dataset, most: int, seed: int) -> Dataset:
    # They stay with those that are trained on: the original saw them too, and no decision falls on
    # how well the model does on them. A fifth at most: little data is scored in little time.
    count = min(most, max(VERIFIED, data.examples // 5))
    return split_count(data, count, derived_seed(seed, "calibrate"))[1]


def _opened(recipe: Recipe, role: str, model: Any) -> Dataset:
    dataset = open_data(
        getattr(recipe.data, role),
        role=role,
        base=recipe.base,
        model=model,
        loss=recipe.task.loss,
        classes=recipe.classes,
    )
    check_fits(dataset, model, role=role)
    return dataset


def _once(recipe: Recipe, model: Any, digests: Mapping[str, str]) -> Callable[[], Dataset]:
    kept: list[Dataset] = []

    def evaluate() -> Dataset:
        if not kept:
            dataset = _opened(recipe, "evaluate", model)
            _refuse_copies(recipe, "evaluate", dataset, digests)
            kept.append(dataset)
        return kept[0]

    return evaluate


def _refuse_same(recipe: Recipe, model: Any) -> None:
    """Two roles that would read the same arrays of the same file; values are not read."""
    seen: dict[tuple[str, ...], str] = {}
    for role in ROLES:
        source = getattr(recipe.data, role)
        if source is None:
            continue
        place = locate(source, recipe.base)
        read = peek(place, role, model)
        if read in seen:
            raise _same(recipe, seen[read], role, place.name)
        seen[read] = role


def _refuse_copies(recipe: Recipe, role: str, dataset: Dataset, digests: Mapping[str, str]) -> None:
    for other, digest in digests.items():
        if other != role and digest == dataset.digest:
            raise _same(recipe, other, role, dataset.name)


def _same(recipe: Recipe, first: str, second: str, name: str) -> DataError:
    hint = (
        "leave calibrate out, and it is drawn from train"
        if second == "calibrate"
        else "evaluate needs examples of its own"
    )
    return DataError(
        f"{recipe.name}: data.{first} and data.{second} are the same examples ({name}); {hint}"
    )
