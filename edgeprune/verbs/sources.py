"""What the verbs read and where they write: said of names first, before a framework is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.errors import ArtifactError, DataError, InputError, ModelError, PlanError
from edgeprune.files import check_file
from edgeprune.progress import Progress

if TYPE_CHECKING:
    from edgeprune.importing import Imported


Facts = dict[str, Any]

MODELS = (".keras", ".h5")
_WANTED: Mapping[type[InputError], str] = {
    ModelError: "give a .keras or .h5 file, or module:function",
    DataError: "give an .npz, a folder, or module:function",
    ArtifactError: "'edgeprune export' writes one",
    InputError: "'edgeprune run' writes one",
}


def placed(out: Path, *suffixes: str) -> None:
    """Refuse a result's name before any work.

    Raises:
        InputError: it ends in none of ``suffixes``.
        OutputError: it cannot be written.
    """
    if out.suffix not in suffixes:
        raise InputError(f"{out}: end the name in {' or '.join(suffixes)}")
    check_file(out)


def there(path: Path | str, error: type[InputError]) -> None:
    """Raise ``error``, with what it should be, where there is no such file or folder; what reads
    ``module:function`` is none."""
    from edgeprune.recipes import is_function

    if not is_function(str(path)) and not Path(path).expanduser().exists():
        raise error(f"{path}: no such file; {_WANTED[error]}")


def plan_placed(out: Path, *read: Path | str | None) -> None:
    """:func:`placed` for a plan, which is two files: neither may be one that the verb reads, and
    its ``.npz`` no other file of the user's.

    Raises:
        InputError: one would be replaced, or ``out`` ends in another suffix.
        OutputError: one cannot be written.
    """
    from edgeprune.plans import taken_beside

    placed(out, ".json")
    beside = out.with_suffix(".npz")
    check_file(beside)
    places = [Path(path).expanduser().resolve() for path in read if path is not None]
    if out.resolve() in places:
        raise InputError(f"{out}: is what this reads; name the result otherwise")
    if beside.resolve() in places:
        raise InputError(
            f"{out}: its masks would replace {beside}, which this reads; name it otherwise"
        )
    if taken := taken_beside(out):
        raise InputError(f"{out}: {taken}")


@dataclass(frozen=True)
class Source:
    """What most verbs begin with.

    Attributes:
        model: a ``.keras`` or ``.h5`` file, a SavedModel with layers, or ``module:function``.
        data: an ``.npz``, a folder of images, a saved ``tf.data``, or ``module:function``.
        loss, metric: names of Keras or ``module:function``; ``None`` takes the compiled ones.
        trust: load Lambda layers.
        threads: of TensorFlow.
        seed: of every split, order and training.
    """

    model: Path
    data: str | None = None
    loss: str | None = None
    metric: str | None = None
    trust: bool = False
    threads: int = 2
    seed: int = 0

    def gives(self, out: Path, *suffixes: str) -> None:
        """:func:`placed`, and refuse to write over what is read.

        Raises:
            InputError: ``out`` is the model or the data, or ends in none of ``suffixes``.
            OutputError: it cannot be written.
        """
        placed(out, *suffixes)
        if self.reads(out):
            raise InputError(f"{out}: is what this reads; name the result otherwise")

    @property
    def read(self) -> tuple[Path | str | None, ...]:
        """The model and the data."""
        return (self.model, self.data)

    def reads(self, out: Path) -> bool:
        """Whether ``out`` is the model or the data."""
        given = [path for path in self.read if path is not None]
        return any(Path(path).expanduser().resolve() == out.resolve() for path in given)

    def found(self) -> Source:
        """This, its files being there; nothing is opened.

        Raises:
            InputError: one is not.
        """
        there(self.model, ModelError)
        if self.data is not None:
            there(self.data, DataError)
        return self

    def opened(self) -> Any:
        """The model, its values checked.

        Raises:
            ModelError: it cannot be read or used.
        """
        return self.imported().model

    def imported(self) -> Imported:
        """The model, and what was done where Keras 2 wrote it.

        Raises:
            ModelError: it cannot be read or used.
        """
        from edgeprune.importing import open_model, open_named
        from edgeprune.models.engine import set_up
        from edgeprune.recipes import is_function

        set_up(self.threads)
        if is_function(str(self.model)):
            return open_named(str(self.model), Path.cwd())
        return open_model(self.model, trust=self.trust)

    def fed(self, role: str, model: Any) -> Any:
        """The data, opened for ``role`` and checked against the model.

        Raises:
            DataError: it cannot be read, or does not fit.
        """
        from edgeprune.feeding import check_fits, open_data
        from edgeprune.recipes import DataSource

        if self.data is None:
            raise InputError("no data; name it with --data FILE")
        found = open_data(
            DataSource(path=self.data), role=role, base=Path.cwd(), model=model, loss=self.loss
        )
        check_fits(found, model, role=role)
        return found

    def fits(self, model: Any, plan: Any, file: Path) -> None:
        """Refuse a plan for another model, naming both files.

        Raises:
            PlanError: it was made for another architecture.
        """
        from edgeprune.models import architecture_digest

        digest = architecture_digest(model)
        if plan.model != digest:
            raise PlanError(
                f"{file}: made for another model (architecture {plan.model[:12]}) than "
                f"{self.model} ({digest[:12]}); give that one, or make a plan for {self.model}"
            )

    def scored(self, digest: str, scores: Any, file: Path) -> None:
        """Refuse scores of another model than the architecture ``digest``, naming both files.

        Raises:
            PlanError: they are of another.
        """
        if scores.model != digest:
            raise PlanError(
                f"{file}: scores of another model (architecture {scores.model[:12]}) than "
                f"{self.model} ({digest[:12]}); give that one, or score {self.model}"
            )

    def task(self, model: Any) -> Any:
        """Loss and metric, resolved.

        Raises:
            InputError: none is given and the model has none, or the name is unknown.
        """
        from edgeprune.models import make_task

        return make_task(self.loss, self.judge(model), None, None, model=model, base=Path.cwd())

    def judging(self, model: Any, progress: Progress) -> Any:
        """:meth:`task`; of several outputs it is said which one is not judged."""
        return self.task(model).told(progress)

    def judge(self, model: Any) -> str | None:
        """The metric's name: as given; a model that was never compiled is judged by its loss."""
        if self.metric is None and not getattr(model, "compiled", False):
            return "loss"
        return self.metric
