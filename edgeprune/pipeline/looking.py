"""What a few examples tell of a model: its task and how its inputs are scaled."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.datasets import Dataset
from edgeprune.errors import DataError, InputError
from edgeprune.files import write_bytes
from edgeprune.pipeline.guessing import LOOKED_AT, Guess, guess_task
from edgeprune.pipeline.original import BYTE, told, tried, under_byte
from edgeprune.pipeline.parting import Divided
from edgeprune.recipes import Data, DataSource


@dataclass(frozen=True)
class Looked:
    """What a few examples of train tell of the model."""

    model: Any
    split: Divided
    base: Path
    loss: str | None
    metric: str | None
    module: str

    def batch(self, scale: float | None) -> Any:
        """A few hundred examples, mixed by seed, as the model is fed."""
        from edgeprune.feeding.ordering import order

        data = self._opened(self.split.look, "train", scale)
        few = data.subset(order(data.examples, 0)[:LOOKED_AT])
        return next(iter(few.batches(few.examples)))

    def task(self) -> tuple[dict[str, Any], list[str], dict[str, str]]:
        """The lines of ``[task]``, what to say of them, and a module that they need."""
        from edgeprune.models.metrics import make_measure
        from edgeprune.models.objectives import make_objective

        found: dict[str, Any] = {}
        notes: list[str] = []
        guess: Guess | None = None
        modules: dict[str, str] = {}
        makers: dict[str, Any] = {"loss": make_objective, "metric": make_measure}
        for key, maker in makers.items():
            given = getattr(self, key)
            if given is not None:
                maker(given, model=self.model, base=self.base)
                found[key] = given
                continue
            try:
                name = maker(None, model=self.model).name
            except InputError:
                name = ""
            if name and name != "loss":
                notes.append(f"{key}: the model's compiled {name}")
                continue
            guess = guess or self._guess()
            found[key] = getattr(guess, key)
            notes.append(f"{key}: {found[key]}, guessed ({guess.why})")
            if guess.code:
                modules = {f"{self.module}.py": guess.code}
                if key == "metric":
                    found["higher_is_better"] = guess.higher_is_better
        return found, notes, modules

    def made(self, task: Mapping[str, Any], modules: Mapping[str, str]) -> Any:
        """The task as the recipe will have it; a module that is still to be written is tried from
        a folder of its own."""
        from edgeprune.models import make_task, referred

        found = {key: task.get(key) for key in ("loss", "metric")}
        with tempfile.TemporaryDirectory() as folder:
            for name, code in modules.items():
                write_bytes(Path(folder) / name, code.encode())
            for key, value in found.items():
                if modules and value and value.startswith(f"{self.module}:"):
                    found[key] = referred(value, Path(folder), InputError)
            return make_task(
                found["loss"],
                found["metric"],
                task.get("higher_is_better"),
                None,
                model=self.model,
                base=self.base,
            )

    def scale(self, made: Any) -> tuple[float | None, str]:
        """A scale for images and bytes: of 1/255 and 1 the one under which the model does better;
        1 for a model that rescales by itself."""
        if not self._is_bytes():
            return None, ""
        rescales = any(
            type(layer).__name__ in ("Rescaling", "Normalization")
            for layer in getattr(self.model, "layers", ())
        )
        if rescales:
            return 1.0, "scale: 1, the model rescales by itself"
        predict, batch = made.model_predict(self.model), self.batch(1.0)
        as_is, as_bytes = made.evaluate(predict, [batch]), under_byte(made, predict, [batch])
        best = 1.0 if made.improves(as_is, as_bytes) else BYTE
        return best, (
            f"scale: {'1' if best == 1.0 else '1/255'}, tried on examples of train: "
            f"{told(made, as_is, as_bytes)}"
        )

    def check(self, made: Any, scale: float | None) -> tuple[str, ...]:
        """What a run of the recipe checks before it trains, on the data that is there now; what
        it would note.

        Raises:
            DataError: data that does not fit, two roles of the same examples, too few of them,
                labels that the loss cannot be meant for.
            TrainingError: a metric that is no finite number.
        """
        from edgeprune.feeding import check_enough, parted

        split = self.split
        train = self._opened(split.look, "train", scale)
        if split.cut is not None:
            train = train.subset(split.cut)
        else:
            evaluate = self._opened(split.evaluate, "evaluate", scale)
            if evaluate.digest == train.digest:
                raise DataError(
                    f"{evaluate.name}: what is there to train on and to evaluate on are the same "
                    "examples; evaluate needs examples of its own"
                )
        unsaid = Data(train=split.train, evaluate=split.evaluate)
        _, validation, calibrate = parted(train, unsaid.validation, unsaid.calibration_examples, 0)
        check_enough(calibrate, unsaid.calibration_examples)
        return tried(made, self.model, validation, scaled=scale is not None).notes

    def _opened(self, source: DataSource, role: str, scale: float | None) -> Dataset:
        from edgeprune.feeding import check_fits, open_data

        source = source if scale is None else source.model_copy(update={"scale": scale})
        data = open_data(source, role=role, base=self.base, model=self.model, loss=self.loss)
        check_fits(data, self.model, role=role)
        return data

    def _guess(self) -> Guess:
        from edgeprune.models.forward import flat, output_names, predictor

        batch = self.batch(BYTE if self._is_bytes() else None)
        names = output_names(self.model)
        outputs = [np.asarray(o) for o in flat(predictor(self.model)(batch[0]), names)]
        return guess_task(outputs, [np.asarray(y) for y in flat(batch[1], names)], self.module)

    def _is_bytes(self) -> bool:
        from edgeprune.feeding.places import holds_bytes

        return holds_bytes(self.split.look, self.base, self.model)
