"""Where a first recipe takes training and evaluation data from: two sets, or one cut in two."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.errors import DataError
from edgeprune.feeding.ordering import Index
from edgeprune.recipes import DataSource, is_function
from edgeprune.seeds import derived_seed

EVALUATED = 0.2
"""Share of a single set of examples that is put aside for evaluation."""
TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "evaluate", "val", "validation")


@dataclass(frozen=True)
class Divided:
    """Sources of training and evaluation.

    Attributes:
        train, evaluate: as the recipe will have them.
        look: what can be opened now for training; of one set that is cut in two, the whole.
        cut: which examples of ``look`` are for training; ``None``: all, and ``evaluate`` can be
            opened now too.
        notes: what was decided.
        arrays: files to write.
    """

    train: DataSource
    evaluate: DataSource
    look: DataSource
    cut: Index | None = None
    notes: tuple[str, ...] = ()
    arrays: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def with_scale(self, scale: float | None) -> tuple[Any, Any]:
        sources = []
        for source in (self.train, self.evaluate):
            facts = source.model_dump(mode="json", exclude_defaults=True)
            facts |= {} if scale is None else {"scale": scale}
            facts = {
                key: value[0] if key in ("x", "y") and len(value) == 1 else value
                for key, value in facts.items()
            }
            sources.append(facts["path"] if len(facts) == 1 else facts)
        return sources[0], sources[1]


def divided(data: str, base: Path, model: Any) -> Divided:
    if is_function(data) and not Path(data).exists():
        return _from_function(data, base)
    path = Path(data)
    if path.is_dir():
        return _from_folder(path, base)
    return _from_archive(path, base, model)


def _from_function(data: str, base: Path) -> Divided:
    from edgeprune.models import referred

    module, _, name = data.partition(":")
    for other in TEST_FOLDERS:
        try:
            referred(f"{module}:{other}", base, DataError)
        except DataError:
            continue
        if other != name:
            train = DataSource(path=data)
            note = f"evaluate: what {module}:{other} returns"
            return Divided(train, DataSource(path=f"{module}:{other}"), train, notes=(note,))
    raise DataError(
        f"{data}: gives one set, and train and evaluate need two; add a function "
        f"'test' to {module} that returns examples of its own"
    )


def _from_folder(path: Path, base: Path) -> Divided:
    names = {child.name.lower(): child for child in path.iterdir() if child.is_dir()}
    train = next((names[name] for name in TRAIN_FOLDERS if name in names), None)
    test = next((names[name] for name in TEST_FOLDERS if name in names), None)
    if train is None or test is None:
        raise DataError(
            f"{path}: one set cannot serve for both train and evaluate; put its parts into "
            f"{path / 'train'} and {path / 'test'}"
        )
    source = DataSource(path=relative(train, base))
    return Divided(source, DataSource(path=relative(test, base)), source)


def _from_archive(path: Path, base: Path, model: Any) -> Divided:
    from edgeprune.feeding.places import chosen_arrays

    look = DataSource(path=relative(path, base))
    train = chosen_arrays(look, base, model, "train")
    try:
        test = chosen_arrays(look, base, model, "evaluate")
    except DataError:
        test = train
    if test.x != train.x:
        parts = [look.model_copy(update={"x": part.x, "y": part.y}) for part in (train, test)]
        return Divided(parts[0], parts[1], look)
    if train.x == ("x_train",):
        raise DataError(f"{path}: has x_train but no x_test and y_test; add them for evaluation")
    return _cut_archive(path, look, train.x, train.y)


def _cut_archive(path: Path, look: DataSource, x: tuple[str, ...], y: tuple[str, ...]) -> Divided:
    """One set of examples becomes two in a new file beside the recipe."""
    from edgeprune.feeding import archives
    from edgeprune.feeding.ordering import order

    arrays = archives.load(path, [*x, *y])
    examples = min(len(array) for array in arrays.values())
    count = round(examples * EVALUATED)
    if count < 1:
        raise DataError(f"{path}: {examples} examples are too few to put some aside; give more")
    mixed = order(examples, derived_seed(0, "evaluate"))
    parts = {"test": np.sort(mixed[:count]), "train": np.sort(mixed[count:])}
    cut = {
        f"{name}_{part}": array[index]
        for name, array in arrays.items()
        for part, index in parts.items()
    }
    file = f"{path.stem}-split.npz"
    note = (
        f"evaluate: {count} of the {examples} examples of {path.name}, split by seed into {file}; "
        "if the model was trained on them the figures flatter: better give a test set of its own"
    )
    sources = [
        DataSource(
            path=file,
            x=tuple(f"{name}_{part}" for name in x),
            y=tuple(f"{name}_{part}" for name in y),
        )
        for part in ("train", "test")
    ]
    return Divided(sources[0], sources[1], look, parts["train"], (note,), {file: cut})


def relative(path: Path, base: Path) -> str:
    """A path as a recipe in ``base`` writes it."""
    return Path(os.path.relpath(path.resolve(), base)).as_posix()
