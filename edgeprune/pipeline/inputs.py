"""What a run reads: the model, the data of three roles, and the identity of each for stage keys.

An identity is a digest of content. Files are hashed once and remembered by size and time; what a
``module:function`` returns is digested when it is called, and the digest remembered beside that of
its source and of the files it depends on.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeprune.errors import DataError, EdgepruneError, ModelError
from edgeprune.files import digest_of
from edgeprune.pipeline.modules import named_files, source_file
from edgeprune.pipeline.record import Record
from edgeprune.recipes import DataSource, Recipe, is_function
from edgeprune.workspace import Workspace

EVALUATING = frozenset({"check-evaluate", "evaluate"})
"""The kinds of stages that may open the evaluation data; the first leaves nothing but its size."""


class InputsChanged(Exception):
    """What a ``module:function`` returned differs from its last run: keys must be made anew.

    Attributes:
        what: ``"model"``, or ``"data."`` and the role.
        name: the function.
    """

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"{name} ({what})")
        self.what = what
        self.name = name

    def again(self) -> EdgepruneError:
        """The error where it differs a second time, without a change of anything between."""
        if self.what == "model":
            return ModelError(
                f"{self.name}: gives another model at each call; fix its seed "
                "(keras.utils.set_random_seed) or load its weights from a file"
            )
        return DataError(f"{self.name}: gives other examples at each call; fix its seed")


class Inputs:
    """The model and the data of one recipe.

    Attributes:
        recipe: that names them.
        trust_model: Lambda layers may be loaded.
    """

    def __init__(
        self,
        recipe: Recipe,
        workspace: Workspace,
        *,
        trust_model: bool = False,
        record: Record | None = None,
    ) -> None:
        self.recipe = recipe
        self.trust_model = trust_model or recipe.model.trust
        self._workspace = workspace
        self._record = record or Record(workspace)
        self._model_notes: tuple[str, ...] = ()
        self._kind: str | None = None

    def anew(self) -> Inputs:
        """The same with nothing opened, and all that is known."""
        return Inputs(
            self.recipe, self._workspace, trust_model=self.trust_model, record=self._record
        )

    @contextlib.contextmanager
    def read_by(self, kind: str) -> Iterator[None]:
        """While a stage of this kind is carried out: only :data:`EVALUATING` may open the
        evaluation data."""
        self._kind, before = kind, self._kind
        try:
            yield
        finally:
            self._kind = before

    # -- identities -------------------------------------------------------------------------

    def model_identity(self) -> str:
        """Digest of the original's architecture, values and settings."""
        known = self._record.known("model", self._model_source())
        return known if known is not None else self.model_digest

    @functools.cached_property
    def model_digest(self) -> str:
        """The same, from the model itself; remembered."""
        digest = _digest_of_model(self.model)
        self._record.remember("model", self._model_source(), digest)
        return digest

    def data_identity(self, role: str) -> str | None:
        """Digest of the data of ``"train"``, ``"calibrate"`` or ``"evaluate"`` and of how it is
        read; ``None`` where the recipe has no such data."""
        source: DataSource | None = getattr(self.recipe.data, role)
        if source is None:
            return None
        identity = self._source_identity(source)
        if is_function(source.path):
            known = self._record.known(f"data.{role}", identity)
            if known is None:
                known = self.returned(role)
            return digest_of([identity, known])
        return identity

    def returned(self, role: str) -> str:
        """Digest of what a ``module:function`` returns now; remembered."""
        digest = self.opened(role).digest
        self._record.remember(
            f"data.{role}", self._source_identity(getattr(self.recipe.data, role)), digest
        )
        return digest

    def check_returned(self, role: str, digest: str) -> None:
        """Compare what a ``module:function`` has just returned with its last run.

        Raises:
            InputsChanged: it differs; the new digest is remembered.
        """
        source: DataSource | None = getattr(self.recipe.data, role)
        if source is None or not is_function(source.path):
            return
        identity = self._source_identity(source)
        if self._record.known(f"data.{role}", identity) not in (None, digest):
            self._record.remember(f"data.{role}", identity, digest)
            raise InputsChanged(f"data.{role}", source.path)
        self._record.remember(f"data.{role}", identity, digest)

    def files(self) -> list[Path]:
        """Every file that a change of must rebuild, sorted: recipe, model, data, what they depend
        on, the sources of functions."""
        found = {self.recipe.path} if self.recipe.path.exists() else set()
        found.update(self._files_of(self.recipe.model.path, self.recipe.model.depends))
        for source in self._sources():
            found.update(self._files_of(source.path, source.depends))
        for name in (self.recipe.task.loss, self.recipe.task.metric):
            if name and is_function(name):
                found.add(source_file(name, self.recipe.base))
        return sorted(found)

    def task_identity(self) -> dict[str, Any]:
        """The recipe's task, with the source of its own functions; what it leaves to the model's
        compile state is resolved.

        Raises:
            InputError: the recipe names no loss, and the model is not compiled.
        """
        facts = self.recipe.digest_facts()["task"]
        for key in ("loss", "metric"):
            facts[key] = facts[key] or self._compiled(key)
            if is_function(facts[key]):
                facts[f"{key}_source"] = self._record.sha(source_file(facts[key], self.recipe.base))
        return facts

    # -- things -----------------------------------------------------------------------------

    @functools.cached_property
    def model(self) -> Any:
        """The original Keras model, checked for NaN and Inf.

        Raises:
            ModelError: it cannot be read or used.
            InputsChanged: a ``module:function`` returned another one than in its last run.
        """
        from edgeprune.importing import open_named
        from edgeprune.models import check_values
        from edgeprune.models.engine import set_up

        set_up(self.recipe.threads, self.recipe.device)
        path = self.recipe.model.path
        opened = open_named(path, self.recipe.base, trust=self.trust_model)
        model, self._model_notes = opened.model, opened.notes
        check_values(model, path)
        if not getattr(model, "built", False) or not getattr(model, "inputs", None):
            raise ModelError(
                f"{path}: the model ({type(model).__name__}) has no inputs of known shape; save "
                "keras.Model(x, model(x)) with x = keras.Input(shape) instead"
            )
        if is_function(path):
            self._check_returned_model(model)
        return model

    @property
    def model_notes(self) -> tuple[str, ...]:
        """What was done to the original where Keras 2 wrote it."""
        return self._model_notes if self.model is not None else ()

    @functools.cached_property
    def roles(self) -> Any:
        """The data, opened and checked against the model (:func:`edgeprune.feeding.roles`); the
        evaluation data only within :meth:`read_by` of a stage that may.

        Raises:
            DataError: it does not fit the model.
            InputsChanged: a ``module:function`` returned something else than in its last run.
        """
        from edgeprune.feeding import roles

        opened = roles(self.recipe, self.model)
        for role, digest in opened.digests.items():
            self.check_returned(role, digest)
        return replace(opened, evaluate=self._sealed(opened.evaluate))

    def holds_images(self, role: str) -> bool:
        """Whether a role's data is a folder of images, which Pillow reads."""
        source: DataSource | None = getattr(self.recipe.data, role)
        if source is None or is_function(source.path):
            return False
        from edgeprune.feeding.tfdata import is_saved

        folder = self.recipe.resolve(source.path)
        return folder.is_dir() and not is_saved(folder)

    def train_examples(self) -> int:
        """How many examples the training role has, validation left out; remembered."""
        source = self.data_identity("train")
        known = self._record.known("examples", str(source))
        if known is None:
            known = str(self.roles.train.examples)
            self._record.remember("examples", str(source), known)
        return int(known)

    def opened(self, role: str) -> Any:
        """The data of one role as it is opened, whole; for its digest.

        Raises:
            RuntimeError: a stage asks for the evaluation data that may not.
        """
        from edgeprune.feeding import open_data

        if role == "evaluate" and self._kind is not None:
            self._check_may_evaluate()
        return open_data(
            getattr(self.recipe.data, role),
            role=role,
            base=self.recipe.base,
            model=self.model,
            loss=self.recipe.task.loss,
            classes=self.recipe.classes,
        )

    @functools.cached_property
    def task(self) -> Any:
        """Loss and metric, resolved (:class:`edgeprune.models.Task`)."""
        from edgeprune.models import make_task

        section = self.recipe.task
        return make_task(
            section.loss,
            section.metric,
            section.higher_is_better,
            section.class_weights,
            model=self.model,
            base=self.recipe.base,
        )

    # -- inside -----------------------------------------------------------------------------

    def _sealed(self, evaluate: Callable[[], Any]) -> Callable[[], Any]:
        """``evaluate`` for the stages that may."""

        def opened() -> Any:
            self._check_may_evaluate()
            return evaluate()

        return opened

    def _check_may_evaluate(self) -> None:
        if self._kind not in EVALUATING:
            raise RuntimeError(
                f"internal error: the evaluation data is asked for by {self._kind or 'no stage'}; "
                f"only {' and '.join(sorted(EVALUATING))} may open it, so that nothing is decided "
                "by what judges in the end"
            )

    def _sources(self) -> list[DataSource]:
        data = self.recipe.data
        return [source for source in (data.train, data.calibrate, data.evaluate) if source]

    def _compiled(self, key: str) -> str:
        """The name of the compiled loss or metric; remembered."""
        model = self.model_identity()
        known = self._record.known(f"compiled {key}", model)
        if known is None:
            task = self.task
            known = str(task.loss.name if key == "loss" else task.metric_name)
            self._record.remember(f"compiled {key}", model, known)
        return known

    def _check_returned_model(self, model: Any) -> None:
        source, digest = self._model_source(), _digest_of_model(model)
        known = self._record.known("model", source)
        self._record.remember("model", source, digest)
        if known not in (None, digest):
            raise InputsChanged("model", self.recipe.model.path)

    def _files_of(self, path: str, depends: tuple[str, ...]) -> list[Path]:
        return [file for _, file in named_files(path, depends, self.recipe.base)]

    def _model_source(self) -> str:
        source = self.recipe.model
        return self._digest_files(source.path, source.depends)

    def _source_identity(self, source: DataSource) -> str:
        facts = source.model_dump(mode="json", exclude={"path", "depends"})
        return digest_of([facts, self._digest_files(source.path, source.depends)])

    def _digest_files(self, path: str, depends: tuple[str, ...]) -> str:
        function = path if is_function(path) else None
        named = [
            [name, self._record.sha(file)]
            for name, file in named_files(path, depends, self.recipe.base)
        ]
        return digest_of([function, named])


def _digest_of_model(model: Any) -> str:
    from edgeprune.models import settings_digest, values_digest

    return digest_of([values_digest(model), settings_digest(model)])
