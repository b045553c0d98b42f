"""What a few examples tell of a model: its task and how its inputs are scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.errors import InputError
from edgeprune.pipeline.guessing import LOOKED_AT, Guess, guess_task
from edgeprune.pipeline.parting import Divided
from edgeprune.recipes import DataSource

BYTE = 1 / 255


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
        from edgeprune.feeding import check_fits, open_data
        from edgeprune.feeding.ordering import order

        source = self.split.look if scale is None else _scaled(self.split.look, scale)
        data = open_data(source, role="train", base=self.base, model=self.model, loss=self.loss)
        check_fits(data, self.model, role="train")
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

    def scale(self, task: Mapping[str, Any]) -> tuple[float | None, str]:
        """A scale for images and bytes: of 1/255 and 1 the one under which the model does better.

        With a task that cannot be tried yet (its module is to be written) by the spread of the
        outputs' classes alone nothing is known: 1/255, unless the model rescales by itself.
        """
        if not self._is_bytes():
            return None, ""
        rescales = any(
            type(layer).__name__ in ("Rescaling", "Normalization")
            for layer in getattr(self.model, "layers", ())
        )
        if rescales:
            return 1.0, "scale: 1, the model rescales by itself"
        if any(isinstance(v, str) and v.startswith(f"{self.module}:") for v in task.values()):
            return BYTE, "scale: 1/255, assumed for bytes; write 1 if the model takes 0 … 255"
        from edgeprune.models import make_task

        made = make_task(
            task.get("loss"), task.get("metric"), None, None, model=self.model, base=self.base
        )
        predict = made.model_predict(self.model)
        values = {s: made.evaluate(predict, [self.batch(s)]) for s in (BYTE, 1.0)}
        best = 1.0 if made.improves(values[1.0], values[BYTE]) else BYTE
        shown = ", ".join(
            f"{made.metric_name} {value:.4g} with {'1' if s == 1.0 else '1/255'}"
            for s, value in values.items()
        )
        return (
            best,
            f"scale: {'1' if best == 1.0 else '1/255'}, tried on examples of train: {shown}",
        )

    def _guess(self) -> Guess:
        from edgeprune.models.forward import flat, output_names, predictor

        batch = self.batch(BYTE if self._is_bytes() else None)
        names = output_names(self.model)
        outputs = [np.asarray(o) for o in flat(predictor(self.model)(batch[0]), names)]
        return guess_task(outputs, [np.asarray(y) for y in flat(batch[1], names)], self.module)

    def _is_bytes(self) -> bool:
        from edgeprune.feeding.places import holds_bytes

        return holds_bytes(self.split.look, self.base, self.model)


def _scaled(source: DataSource, scale: float) -> DataSource:
    """The same source under another scale."""
    return source.model_copy(update={"scale": scale})
