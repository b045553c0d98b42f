"""What a run reads: the model, the data of three roles, and the identity of each for stage keys.

An identity is a digest of content. Files are hashed once and remembered by size and time; what a
``module:function`` returns is digested when it is called, and the digest remembered beside that of
its source and of the files it depends on.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from edgeprune.errors import ModelError
from edgeprune.files import digest_of, sha256_file, write_json
from edgeprune.pipeline.modules import source_file
from edgeprune.recipes import DataSource, Recipe, is_function, matches
from edgeprune.workspace import Workspace


class InputsChanged(Exception):
    """What a ``module:function`` returned differs from its last run: keys must be made anew."""


class Inputs:
    """The model and the data of one recipe.

    Attributes:
        recipe: that names them.
        trust_model: Lambda layers may be loaded.
    """

    def __init__(self, recipe: Recipe, workspace: Workspace, *, trust_model: bool = False) -> None:
        self.recipe = recipe
        self.trust_model = trust_model or recipe.model.trust
        self._workspace = workspace
        self._record_file = workspace.root / "inputs.json"
        self._record: dict[str, Any] = _read(self._record_file)

    # -- identities -------------------------------------------------------------------------

    def model_identity(self) -> str:
        """Digest of the original's architecture and values."""
        known = self._known("model", self._model_source())
        return known if known is not None else self.model_digest

    @functools.cached_property
    def model_digest(self) -> str:
        """The same, from the model itself; remembered."""
        from edgeprune.models import values_digest

        digest = values_digest(self.model)
        self._remember("model", self._model_source(), digest)
        return digest

    def data_identity(self, role: str) -> str | None:
        """Digest of the data of ``"train"``, ``"calibrate"`` or ``"evaluate"`` and of how it is
        read; ``None`` where the recipe has no such data."""
        source: DataSource | None = getattr(self.recipe.data, role)
        if source is None:
            return None
        identity = self._source_identity(source)
        if is_function(source.path):
            known = self._known(f"data.{role}", identity)
            if known is None:
                known = self.returned(role)
            return digest_of([identity, known])
        return identity

    def returned(self, role: str) -> str:
        """Digest of what a ``module:function`` returns now; remembered."""
        digest = self.opened(role).digest
        self._remember(
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
        if self._known(f"data.{role}", identity) not in (None, digest):
            self._remember(f"data.{role}", identity, digest)
            raise InputsChanged
        self._remember(f"data.{role}", identity, digest)

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
        """The recipe's task, with the source of its own functions."""
        facts = self.recipe.digest_facts()["task"]
        for key in ("loss", "metric"):
            if facts[key] and is_function(facts[key]):
                facts[f"{key}_source"] = self._sha(source_file(facts[key], self.recipe.base))
        return facts

    # -- things -----------------------------------------------------------------------------

    @functools.cached_property
    def model(self) -> Any:
        """The original Keras model, checked for NaN and Inf.

        Raises:
            ModelError: it cannot be read or used.
        """
        from edgeprune.models import build_model, check_values, load_model
        from edgeprune.models.engine import set_up

        set_up(self.recipe.threads, self.recipe.device)
        path = self.recipe.model.path
        if is_function(path):
            model = build_model(path, self.recipe.base)
        else:
            model = load_model(self.recipe.resolve(path), trust=self.trust_model)
        check_values(model, path)
        if not getattr(model, "built", False) or not model.inputs:
            raise ModelError(f"{path}: the model has no inputs yet; build it before saving it")
        return model

    @functools.cached_property
    def roles(self) -> Any:
        """The data, opened and checked against the model (:func:`edgeprune.feeding.roles`).

        Raises:
            DataError: it does not fit the model.
            InputsChanged: a ``module:function`` returned something else than in its last run.
        """
        from edgeprune.feeding import roles

        opened = roles(self.recipe, self.model)
        for role, digest in opened.digests.items():
            self.check_returned(role, digest)
        return opened

    def train_examples(self) -> int:
        """How many examples the training role has, validation left out; remembered."""
        source = self.data_identity("train")
        known = self._known("examples", str(source))
        if known is None:
            known = str(self.roles.train.examples)
            self._remember("examples", str(source), known)
        return int(known)

    def opened(self, role: str) -> Any:
        """The data of one role as it is opened, whole."""
        from edgeprune.feeding import open_data

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

    def _sources(self) -> list[DataSource]:
        data = self.recipe.data
        return [source for source in (data.train, data.calibrate, data.evaluate) if source]

    def _files_of(self, path: str, depends: tuple[str, ...]) -> list[Path]:
        base = self.recipe.base
        found = [file for pattern in depends for file in matches(pattern, base)]
        if is_function(path):
            return [source_file(path, base), *found]
        return [*matches(path, base), *found]

    def _model_source(self) -> str:
        source = self.recipe.model
        return self._digest_files(source.path, source.depends)

    def _source_identity(self, source: DataSource) -> str:
        facts = source.model_dump(mode="json", exclude={"path", "depends"})
        return digest_of([facts, self._digest_files(source.path, source.depends)])

    def _digest_files(self, path: str, depends: tuple[str, ...]) -> str:
        base = self.recipe.base
        files = self._files_of(path, depends)
        function = path if is_function(path) else None
        named = [[_relative(file, base), self._sha(file)] for file in files]
        return digest_of([function, named])

    def _sha(self, file: Path) -> str:
        facts = file.stat()
        stamp = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
        known = self._record.setdefault("files", {})
        entry = known.get(str(file))
        if entry and entry[0] == stamp:
            return str(entry[1])
        digest = sha256_file(file)
        known[str(file)] = [stamp, digest]
        self._save()
        return digest

    def _known(self, what: str, source: str) -> str | None:
        entry = self._record.setdefault("returned", {}).get(what)
        return entry[1] if entry and entry[0] == source else None

    def _remember(self, what: str, source: str, digest: str) -> None:
        self._record.setdefault("returned", {})[what] = [source, digest]
        self._save()

    def _save(self) -> None:
        self._workspace.made()
        write_json(self._record_file, self._record)


def _relative(file: Path, base: Path) -> str:
    """Where a file lies below the recipe; its name where it lies elsewhere (places are no
    content)."""
    return file.relative_to(base).as_posix() if file.is_relative_to(base) else file.name


def _read(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
