"""The verbs on files: each reads files, calls the library, writes files, returns facts.

No terminal here; the command line prints what these return. The facts are JSON values. What can be
said of the names of files is said first, before a framework is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.errors import (
    ArtifactError,
    DataError,
    InputError,
    ModelError,
    OutputError,
    PlanError,
)
from edgeprune.files import check_file
from edgeprune.progress import SILENT, Progress

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
REPORTS = (".html", ".htm", ".md")


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

    def reads(self, out: Path) -> bool:
        """Whether ``out`` is the model or the data."""
        given = [path for path in (self.model, self.data) if path is not None]
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

    def task(self, model: Any) -> Any:
        """Loss and metric, resolved.

        Raises:
            InputError: none is given and the model has none, or the name is unknown.
        """
        from edgeprune.models import make_task

        return make_task(self.loss, self.judge(model), None, None, model=model, base=Path.cwd())

    def judge(self, model: Any) -> str | None:
        """The metric's name: as given; a model that was never compiled is judged by its loss."""
        if self.metric is None and not getattr(model, "compiled", False):
            return "loss"
        return self.metric


def score_file(
    source: Source,
    out: Path,
    *,
    method: str = "taylor",
    microbatch: int = 32,
    chunk: int | None = None,
    normalize: str = "none",
    seed: int = 0,
    progress: Progress = SILENT,
) -> Facts:
    """Score every connection, or every channel; writes ``out`` (.npz). A score of weights alone
    reads no data and needs no loss."""
    source.gives(out, ".npz")
    source.found()
    from edgeprune.models import make_objective
    from edgeprune.scoring import METHODS, score_model
    from edgeprune.surgery import trace

    model = source.opened()
    loss, batches = None, None
    formula = METHODS.get(method)
    if formula is None or (formula.needs_data and formula.labels):
        loss = make_objective(source.loss, model=model, base=Path.cwd())
    if formula is None or formula.needs_data:
        batches = source.fed("calibrate", model).batches(microbatch)
    scores = score_model(
        model,
        batches,
        method=method,
        loss=loss,
        graph=trace(model) if formula is not None and formula.of == "channels" else None,
        chunk=chunk,
        normalize=normalize,
        seed=seed,
        progress=progress,
    )
    scores.save(out)
    return {
        "file": str(out),
        "method": scores.method,
        "kernels": len(scores.weights),
        "weights": sum(int(array.size) for array in scores.weights.values()),
        "channels": {name: int(array.size) for name, array in scores.channels.items()},
        "facts": dict(scores.facts),
    }


def plan_file(
    scores: Path,
    out: Path,
    *,
    model: Source | None = None,
    targets: Sequence[str] = (),
    inexact: bool = False,
    **asked: Any,
) -> Facts:
    """Decide what goes; writes ``out`` (.json, and its masks beside it). ``asked`` are the
    keywords of :func:`edgeprune.plan`; ``targets`` give the multiple where it is not among them;
    ``inexact`` frees groups as :func:`edgeprune.trace` does."""
    placed(out, ".json")
    check_file(out.with_suffix(".npz"))
    asked |= _multiple(targets, asked)
    if inexact and asked.get("channels") is None:
        raise InputError(
            "--inexact says which channels may be cut: add --channels, or leave it out"
        )
    from edgeprune import api
    from edgeprune.planning import check_something, shortfall
    from edgeprune.scores import Scores

    found = Scores.load(scores)
    if out.with_suffix(".npz").resolve() == scores.resolve():
        raise InputError(f"{out}: its masks would replace the scores, {scores}; name it otherwise")
    graph = None
    if model is not None:
        from edgeprune.surgery import trace

        graph = trace(model.found().opened(), inexact=inexact)
        if graph.model != found.model:
            raise PlanError(
                f"{scores}: scores of another model (architecture {found.model[:12]}) than "
                f"{model.model} ({graph.model[:12]}); give that one, or score {model.model}"
            )
    elif asked.get("channels") is not None:
        raise InputError("--channels needs to know which channels belong together: add --model")
    plan = api.plan(found, graph, **asked)
    check_something(plan, found, graph)
    plan.save(out)
    facts = {"file": str(out), **_planned(plan)}
    if graph is not None and plan.cuts:
        facts["shortfall"] = shortfall(plan, graph, asked["channels"])
    return facts


def zero_file(source: Source, plan: Path, out: Path) -> Facts:
    """Apply a saved plan; writes ``out`` (.keras)."""
    source.gives(out, *MODELS)
    from edgeprune.plans import Plan

    found = Plan.load(plan)
    source.found()
    from edgeprune.models import dropped, save_model
    from edgeprune.surgery import zero

    model = source.opened()
    source.fits(model, found, plan)
    zeroed = zero(model, found)
    save_model(zeroed, out)
    return {"file": str(out), **_counts(model, zeroed), "optimizer": dropped(model)}


def strip_file(
    source: Source, out: Path, *, plan: Path | None = None, fold_batchnorm: bool = False
) -> Facts:
    """Take out what is dead; writes ``out`` (.keras). With a plan, that is carried out first."""
    source.gives(out, *MODELS)
    from edgeprune.plans import Plan

    asked = None if plan is None else Plan.load(plan)
    source.found()
    from edgeprune.models import dropped, save_model
    from edgeprune.surgery import accounted, strip_with_report, zero

    model = source.opened()
    if plan is not None:
        source.fits(model, asked, plan)
    small, report = strip_with_report(
        model if asked is None else zero(model, asked), fold_batchnorm=fold_batchnorm
    )
    report = accounted(model, small, report, asked)
    save_model(small, out)
    return {
        "file": str(out),
        **_counts(model, small),
        **report.facts(),
        "report": list(report.lines()),
        "optimizer": dropped(model),
    }


def prune_file(
    source: Source,
    out: Path,
    *,
    plan_out: Path | None = None,
    targets: Sequence[str] = (),
    progress: Progress = SILENT,
    **asked: Any,
) -> Facts:
    """Score, plan, zero and recover in rounds, then strip; writes ``out`` (.keras). ``asked``
    are the keywords of :func:`edgeprune.prune`; ``targets`` as in :func:`plan_file`."""
    source.gives(out, *MODELS)
    asked |= _multiple(targets, asked)
    if plan_out is not None:
        placed(plan_out, ".json")
        beside = plan_out.with_suffix(".npz")
        check_file(beside)
        if source.reads(beside):
            raise InputError(f"{plan_out}: its masks would replace {beside}; name it otherwise")
    source.found()
    from edgeprune.models import save_model
    from edgeprune.pipeline.loop import pruned

    model = source.opened()
    task = source.task(model)
    data = source.fed("train", model)
    found = pruned(
        model,
        data,
        loss=task.loss,
        metric=source.judge(model),
        seed=source.seed,
        progress=progress,
        **asked,
    )
    save_model(found.model, out)
    if plan_out is not None:
        found.plan.save(plan_out)
    return {
        "file": str(out),
        **_counts(model, found.model),
        "plan": _planned(found.plan),
        **found.facts(),
    }


def recover_file(
    source: Source,
    out: Path,
    *,
    method: str = "finetune",
    plan: Path | None = None,
    validation: float = 0.1,
    progress: Progress = SILENT,
    **settings: Any,
) -> Facts:
    """Fine-tune with the zeros held, or take batch-norm statistics anew; writes ``out``, of a
    model without batch norms an equal copy.

    ``settings`` are the keywords of :func:`edgeprune.recovery.fine_tune`.
    """
    source.gives(out, *MODELS)
    from edgeprune.plans import Plan

    held = Plan.load(plan) if plan is not None else None
    source.found()
    from edgeprune.models import save_model
    from edgeprune.recovery import batch_norms, fine_tune, reestimate_batchnorm

    model = source.opened()
    if plan is not None:
        source.fits(model, held, plan)
    data = source.fed("train", model)
    if method == "batchnorm":
        recovered = reestimate_batchnorm(model, data.batches(128))
        save_model(recovered, out)
        norms = len(batch_norms(model))
        counts = _counts(model, recovered)
        return {"file": str(out), "method": method, "batch_norms": norms, **counts}
    if method != "finetune":
        raise InputError(f"--method {method}: known are finetune, batchnorm")
    from edgeprune.feeding import split
    from edgeprune.surgery import trace

    task = source.task(model)
    train, part = split(data, validation, source.seed)
    before = task.evaluate(task.model_predict(model), part.batches(256))
    recovered, _ = fine_tune(
        model,
        train,
        part,
        task=task,
        plan=held,
        trace=trace,
        seed=source.seed,
        progress=progress,
        **settings,
    )
    after = task.evaluate(task.model_predict(recovered), part.batches(256))
    save_model(recovered, out)
    return {
        "file": str(out),
        "method": method,
        "metric": task.metric_name,
        "before": before,
        "after": after,
        "validation_examples": part.examples,
        **_counts(model, recovered),
    }


def export_file(
    source: Source, out: Path, *, variant: str, sparse: bool = False, batch: int = 1
) -> Facts:
    """Write a ``.tflite`` or ``.onnx`` and say what is in it.

    ``sparse`` stores the zeros of an ONNX file as ``sparse_initializer`` where that is smaller; of
    TFLite it is a variant of its own.
    """
    from edgeprune.exporting import check_variant, export_model, export_variant

    if sparse and not variant.startswith("onnx"):
        raise InputError("--sparse is for ONNX; for a sparse TFLite file: --format fp32-sparse")
    check_variant(variant, out)
    check_file(out)
    source.found()
    if not sparse:
        return dict(export_variant(source.opened(), out, variant, batch=batch).facts())
    return dict(export_model(source.opened(), out, sparse=True, batch=batch).facts())


def verify_file(
    source: Source, artifact: Path, *, tolerance: float = 1e-4, examples: int = 256
) -> Facts:
    """Compare a file with its model on the first ``examples`` of the data.

    Raises:
        VerificationError: it differs beyond ``tolerance`` of the largest output.
    """
    there(artifact, ArtifactError)
    source.found()
    from edgeprune import verification

    model = source.opened()
    data = source.fed("inputs", model)
    inputs = next(iter(data.batches(min(examples, data.examples))))[0]
    found = verification.verify_file(artifact, model, inputs, tolerance=tolerance)
    return {"file": str(artifact), **found.facts()}


def bench_paths(
    artifacts: Sequence[Path],
    *,
    target: str = "host",
    runs: int = 50,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> Facts:
    """Time files, interleaved, on a target."""
    from edgeprune.benchmarking import bench_files
    from edgeprune.targets import Target

    found = bench_files(
        artifacts, Target.load(target), runs=runs, threads=threads, progress=progress
    )
    return {"target": target, "measurements": [each.facts() for each in found]}


def inspect_path(
    source: Source, *, groups: bool = False, inexact: bool = False, plan: Path | None = None
) -> Facts:
    """What a model or an exported file is; with ``plan``, what would be left of the model."""
    from edgeprune.plans import Plan

    asked = None if plan is None else Plan.load(plan)
    source.found()
    from edgeprune.inspection import inspect_file, inspect_model

    path = source.model
    if path.suffix in (".tflite", ".onnx"):
        if groups or inexact:
            raise InputError(f"{path}: groups are a model's; an exported file has none")
        if asked is not None:
            raise InputError(f"{path}: a plan is for a model; an exported file has no layers")
        return dict(inspect_file(path))
    opened = source.imported()
    facts = dict(inspect_model(opened.model, groups=groups, inexact=inexact))
    if plan is not None:
        source.fits(opened.model, asked, plan)
        facts["plan"] = {"file": str(plan), **_foreseen(opened.model, asked)}
    return {**facts, "imported": list(opened.notes)} if opened.notes else facts


def report_file(result: Path, out: Path | None) -> tuple[Any, Facts]:
    """Read a result; write it as ``.html`` or ``.md`` where ``out`` is given."""
    if out is not None:
        placed(out, *REPORTS)
    there(result, InputError)
    import json

    from edgeprune.files import write_bytes
    from edgeprune.results import Result

    try:
        content = json.loads(result.read_bytes())
    except (ValueError, IsADirectoryError) as error:
        raise InputError(f"{result}: not a result of 'edgeprune run' (JSON)") from error
    if not isinstance(content, dict):
        raise InputError(f"{result}: not a result of 'edgeprune run' (JSON object)")
    found = Result.from_json(content, result)
    if out is None:
        return found, found.to_json()
    from edgeprune import reporting

    make = reporting.markdown if out.suffix == ".md" else reporting.html
    write_bytes(out, make(found).encode())
    return found, {"file": str(out)}


def init_file(
    model: str,
    data: str,
    out: Path,
    *,
    loss: str | None = None,
    metric: str | None = None,
    force: bool = False,
    threads: int = 2,
    trust: bool = False,
) -> tuple[str, ...]:
    """Write a recipe for a model and its data; what was guessed or split comes back, in lines."""
    if out.exists() and not force:
        raise OutputError(f"{out} is there already; name another with -o, or --force")
    check_file(out)
    there(model, ModelError)
    there(data, DataError)
    from edgeprune.models.engine import set_up
    from edgeprune.pipeline.starting import starting_recipe

    set_up(threads)
    start = starting_recipe(
        model, data, out, loss=loss, metric=metric, trust=trust, threads=threads
    )
    start.write(out, force=force)
    return tuple(start.notes)


def schema_of(noun: str) -> Facts:
    """The JSON Schema of ``recipe`` or ``target``, for editors."""
    if noun == "recipe":
        from edgeprune.recipes import Recipe

        return dict(Recipe.json_schema())
    if noun == "target":
        from edgeprune.targets import Target

        return dict(Target.json_schema())
    raise InputError(f"no schema of {noun!r}; known are recipe, target")


def makefile_path() -> Path:
    """``edgeprune.mk``: in the wheel beside this module, in a checkout one folder up."""
    here = Path(__file__).resolve().parent
    for folder in (here, here.parent):
        if (folder / "edgeprune.mk").is_file():
            return folder / "edgeprune.mk"
    raise InputError("edgeprune.mk is not in this installation; install edgeprune again")


def _multiple(targets: Sequence[str], asked: Facts) -> Facts:
    """The multiple that the profiles ask for, where none is said."""
    if not targets:
        return {}
    if asked.get("channels") is None:
        raise InputError("--target gives a multiple for channels: add --channels, or leave it out")
    from edgeprune.targets import Target, common_multiple

    multiple = common_multiple([Target.load(name) for name in targets])
    return {} if "multiple" in asked else {"multiple": multiple}


def _foreseen(model: Any, plan: Any) -> Facts:
    """What a plan asks for and what of it is possible, by carrying it out in memory."""
    from edgeprune.surgery import accounted, cut_with_report

    small, report = cut_with_report(model, plan)
    report = accounted(model, small, report, plan)
    assert report.account is not None
    return {"masks": len(plan.masks), **report.account.facts(), "inexact": dict(report.inexact)}


def _planned(plan: Any) -> Facts:
    kept = sum(int(mask.keep.sum()) for mask in plan.masks)
    total = sum(int(mask.keep.size) for mask in plan.masks)
    return {
        "digest": plan.digest(),
        "masks": len(plan.masks),
        "masked_sparsity": 1 - kept / total if total else 0.0,
        "channels": {cut.group: int(cut.drop.size) for cut in plan.cuts},
        "why": dict(plan.why),
    }


def _counts(before: Any, after: Any) -> Facts:
    from edgeprune import models

    def of(model: Any) -> Mapping[str, int]:
        return {
            "parameters": models.parameters(model),
            "nonzero": models.nonzero(model),
            "macs": models.macs(model),
        }

    return {
        "model_before": of(before),
        "model_after": of(after),
        "sparsity": models.sparsity(after, before),
    }
