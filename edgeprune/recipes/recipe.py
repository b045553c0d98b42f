"""The recipe as a whole: read, check everything, say every fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from edgeprune.documents import Strict, read_toml, schema_of, validate
from edgeprune.errors import RecipeError
from edgeprune.files import SCHEMA
from edgeprune.gates import Gates
from edgeprune.recipes import overrides
from edgeprune.recipes.distilling import Distill
from edgeprune.recipes.pruning import Prune
from edgeprune.recipes.sections import (
    Classes,
    Data,
    Export,
    Finetune,
    Model,
    Steps,
    Targets,
    TargetSection,
    TaskSection,
    is_function,
)
from edgeprune.recoveries import which_train
from edgeprune.schemas import check_schema

ROLES = ("train", "calibrate", "evaluate")


class Recipe(Strict):
    """What to make of a model: ``edgeprune.toml``.

    Attributes are the keys of the file (``schema`` is ``schema_``). Paths in it are as written;
    :meth:`resolve` makes them absolute. Short forms are spelt out: ``model`` is always a
    :class:`ModelSource`, ``data.train`` a :class:`DataSource`, ``prune.score`` a tuple.
    """

    schema_: int = Field(default=SCHEMA, alias="schema", ge=0, description="Version of the layout.")
    model: Model = Field(description="The trained model.")
    output: str = Field(default="dist", min_length=1, description="Folder of what is released.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Of every split, order and training.")
    threads: int = Field(default=2, ge=1, le=1024, description="Of TensorFlow; decides the bytes.")
    workers: int = Field(
        default=1, ge=1, le=256, description="Processes that share scoring; no byte depends on it."
    )
    device: Literal["cpu", "gpu"] = Field(default="cpu", description="Where training runs.")
    classes: Classes | None = Field(
        default=None, description="Names of the classes, in the order of the model's outputs."
    )
    recover: Steps = Field(
        default=("finetune",), description="What repairs the model after a round, in order."
    )
    data: Data = Field(description="Train, calibrate, evaluate.")
    task: TaskSection = Field(default=TaskSection(), description="Loss and metric.")
    prune: Prune = Field(description="How much leaves, and by what measure.")
    finetune: Finetune = Field(default=Finetune(), description='Settings of the step "finetune".')
    distill: Distill = Field(default=Distill(), description='Settings of the step "distill".')
    export: Export = Field(default=Export(), description="The files to write.")
    targets: Targets = Field(
        default=(TargetSection(name="host"),), description="Devices to release for."
    )
    gates: Gates = Field(default=Gates(), description="Promises for every target.")

    @model_validator(mode="after")
    def _inexact_recovers(self) -> Self:
        if self.prune.inexact and not which_train(self.recover):
            raise PydanticCustomError(
                "rule",
                'has prune.inexact = true, which changes the outputs, and no "finetune" or '
                '"distill" in recover to set that right; add one, or leave inexact out',
            )
        return self

    @model_validator(mode="after")
    def _ramp_trains(self) -> Self:
        if self.prune.ramp and not which_train(self.recover):
            raise PydanticCustomError(
                "rule",
                'has prune.ramp, on which zeros grow while a model trains, and no "finetune" or '
                '"distill" in recover; add one, or leave the ramp out',
            )
        return self

    _base: Path = PrivateAttr(default_factory=Path.cwd)
    _name: str = PrivateAttr(default="edgeprune.toml")

    @property
    def base(self) -> Path:
        """The recipe's folder, absolute; relative paths start here."""
        return self._base

    @property
    def name(self) -> str:
        """What messages call the recipe: its path as given."""
        return self._name

    @property
    def path(self) -> Path:
        """The file, absolute (whether or not it was read from one)."""
        return self._base / PurePath(self._name).name

    @classmethod
    def load(cls, path: Path | str, sets: Iterable[str] = ()) -> Self:
        """Read a recipe.

        Args:
            path: the TOML file.
            sets: ``key=value`` that replace what the file says; the value is read as TOML, and
                as a string where it is none.

        Raises:
            RecipeError: every fault of it, one line each, unknown keys first: not TOML (with the
                line), unknown keys (with the nearest), wrong types, numbers out of range, files
                that are not there.
            VersionError: written for a newer edgeprune.
        """
        path = Path(path)
        content = read_toml(path, "recipe", "'edgeprune init MODEL --data FILE' writes one")
        return cls.parse(content, base=path.parent, name=str(path), sets=sets)

    @classmethod
    def parse(
        cls,
        content: Mapping[str, Any],
        *,
        base: Path | str = ".",
        name: str = "edgeprune.toml",
        sets: Iterable[str] = (),
    ) -> Self:
        """A recipe from the content of a file; as :meth:`load`."""
        check_schema(content, "recipe", name)
        values: dict[str, Any] = _copied(content)
        keys, unread = overrides.apply(values, sets)
        base = Path(base).resolve()

        def prefix(key: str) -> str:
            return f"{name} (--set)" if key in keys else name

        recipe, faults = validate(cls, values, prefix)
        faults += unread
        faults += [f"{prefix(key)}: {line}" for key, line in _absent(values, base)]
        faults += [f"{prefix('targets')}: {line}" for line in _unknown_targets(values, base)]
        if recipe is None or faults:
            raise RecipeError(faults)
        recipe._base, recipe._name = base, name
        return recipe

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema of the file, which editors complete from."""
        return schema_of(cls, "edgeprune recipe")

    def resolve(self, path: str) -> Path:
        """A path of the recipe, absolute."""
        return self._base / Path(path).expanduser()

    def gates_for(self, target: str, profile: Gates | None = None) -> Gates:
        """The promises for one target: its own over the recipe's over those of its ``profile``.

        Raises:
            KeyError: the recipe has no such target.
        """
        for section in self.targets:
            if section.name == target:
                return section.gates.over(self.gates.over(profile or Gates()))
        raise KeyError(target)

    def emulates(self, target: str) -> bool:
        """Whether a target's instructions are to be counted, gate or no gate."""
        return any(each.name == target and each.via == "qemu" for each in self.targets)

    def digest_facts(self) -> dict[str, Any]:
        """What decides results, defaults spelt out, as JSON values: for keys and the manifest.

        Independent of how the file is written and where it lies: an absolute path counts by its
        last part, ``output`` not at all (contents have digests of their own), nor ``workers``.
        """
        facts = self.model_dump(mode="json", by_alias=True, exclude={"output", "workers"})
        for source in (facts["model"], *(facts["data"][role] for role in ROLES)):
            if source:
                source["path"] = _placeless(source["path"])
                source["depends"] = [_placeless(item) for item in source["depends"]]
        return facts


def _placeless(path: str) -> str:
    return PurePath(path).name if path.startswith(("/", "~")) else path


def _copied(value: Any) -> Any:
    """A copy that ``--set`` may write into."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list | tuple) else value


def _sources(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "model", content.get("model")
    data = content.get("data")
    if isinstance(data, Mapping):
        yield from ((f"data.{role}", data.get(role)) for role in ROLES)


def _absent(content: Mapping[str, Any], base: Path) -> Iterator[tuple[str, str]]:
    """Files that the raw content names and that are not there; works on a faulty recipe too."""
    for key, source in _sources(content):
        table = source if isinstance(source, Mapping) else {"path": source}
        path, depends = table.get("path"), table.get("depends", [])
        if isinstance(path, str) and path and not is_function(path):
            full = base / Path(path).expanduser()
            if not full.exists():
                yield key, f"'{key}' names no file: {path} (looked for {full})"
        for pattern in depends if isinstance(depends, list) else []:
            if isinstance(pattern, str) and not matches(pattern, base):
                yield key, f"'{key}.depends' matches no file: {pattern}"


def _unknown_targets(content: Mapping[str, Any], base: Path) -> Iterator[str]:
    """Targets that the raw content names and of which there is no profile."""
    from edgeprune.targets import found, unknown

    listed = content.get("targets")
    tables = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    names = [name for one in tables if isinstance(name := one.get("name"), str)]
    known = found([base / "targets"]) if names else {}
    yield from filter(None, (unknown(name, known) for name in names))


def matches(pattern: str, base: Path) -> list[Path]:
    """The files that an entry of ``depends`` means, sorted: one, all in a folder, or a glob's."""
    full = base / Path(pattern).expanduser()
    if full.is_file():
        return [full]
    if full.is_dir():
        return sorted(path for path in full.rglob("*") if path.is_file())
    anchor = Path(full.anchor)
    try:
        found = anchor.glob(str(full.relative_to(anchor)))
        return sorted(path for path in found if path.is_file())
    except (ValueError, NotImplementedError):
        return []
